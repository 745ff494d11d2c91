//! A percentage: a whole number from 0 to 100.

use std::{borrow::Cow, fmt, iter::Sum};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};

/// A percentage from 0 to 100, in JSON a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Percent(u8);

impl Percent {
    /// 0 %.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const HUNDRED: Self = Self(100);

    /// `None` if the number is not from 0 to 100.
    #[must_use]
    pub const fn new(number: i64) -> Option<Self> {
        match number {
            0..=100 => Some(Self(number as u8)),
            _ => None,
        }
    }

    /// The nearest percentage to a number.
    #[must_use]
    pub const fn clamped(number: i64) -> Self {
        match Self::new(number) {
            Some(percent) => percent,
            None if number < 0 => Self::ZERO,
            None => Self::HUNDRED,
        }
    }

    /// As a ratio from 0 to 1, the unit of metrics (Prometheus: "Metric and label naming").
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The difference to 100 %.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self::HUNDRED.saturating_sub(self)
    }

    /// The sum, at most 100 %.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::clamped(self.0 as i64 + other.0 as i64)
    }

    /// The difference, at least 0 %.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// The sum, at most 100 %.
impl Sum for Percent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Self::saturating_add)
    }
}

/// The number without a unit.
impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

macro_rules! into_numbers {
    ($($number:ty),*) => {
        $(impl From<Percent> for $number {
            fn from(percent: Percent) -> Self {
                percent.0.into()
            }
        })*
    };
}

into_numbers!(i32, i64, u32, u64, usize, f64);

/// A number outside the range is clamped: percentages are read from a status that other clients may have written, and an
/// invalid one must not make the object unreadable. Percentages of a spec are validated instead.
impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::clamped)
    }
}

/// The schema of a number; the field sets its range.
impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        i32::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::Percent;

    #[test]
    fn a_percentage_is_always_from_0_to_100() {
        assert_eq!([-1, 101, i64::MIN, i64::MAX].map(Percent::new), [None; 4]);
        assert_eq!(
            [0, 1, 100].map(|number| Percent::new(number).map(u8::from)),
            [Some(0), Some(1), Some(100)]
        );
        assert_eq!([-7, 30, 700].map(|number| u8::from(Percent::clamped(number))), [0, 30, 100]);
        let [some, most] = [30, 90].map(Percent::clamped);
        assert_eq!((u8::from(some.rest()), u8::from(some.saturating_add(most))), (70, 100));
        assert_eq!((u8::from(most.saturating_sub(some)), u8::from(some.saturating_sub(most))), (60, 0));
        assert_eq!([some, some].into_iter().sum::<Percent>(), Percent::clamped(60));
        assert_eq!([most, most].into_iter().sum::<Percent>(), Percent::HUNDRED);
    }

    #[test]
    fn it_is_serialized_as_a_number_and_clamped_when_deserialized() {
        assert_eq!(serde_json::to_string(&Percent::clamped(30)).unwrap(), "30");
        let read = |text: &str| serde_json::from_str::<Percent>(text).ok().map(u8::from);
        assert_eq!(["30", "-1", "700"].map(read), [Some(30), Some(0), Some(100)]);
        assert_eq!(["0.5", "\"30\"", "null"].map(read), [None; 3]);
        assert_eq!(format!("{} %", Percent::clamped(30)), "30 %");
    }
}
