//! Amounts of a resource as whole numbers, so that sums are exact.

use std::ops::{Add, AddAssign};

/// Parts of one unit: a millionth is below the smallest amount that a pod can request (1m of CPU).
const PARTS: f64 = 1e6;

/// An amount of a resource in millionths of its unit. Arithmetic saturates, so an absurd input is never a small number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

impl Amount {
    /// No amount.
    pub const ZERO: Self = Self(0);
    /// No limit.
    pub const MAX: Self = Self(u128::MAX);

    /// `units` rounded to millionths; a number above zero is at least one millionth. Negative numbers and NaN are zero.
    #[must_use]
    pub fn of(units: f64) -> Self {
        let least = u128::from(units > 0.0);
        // The conversion saturates, and NaN becomes 0.
        Self(((units * PARTS).round() as u128).max(least))
    }

    /// The amount in units.
    #[must_use]
    pub fn units(self) -> f64 {
        self.0 as f64 / PARTS
    }

    /// This amount for each of `count` replicas; nothing for a negative count.
    #[must_use]
    pub fn times(self, count: i32) -> Self {
        Self(self.0.saturating_mul(u128::try_from(count).unwrap_or_default()))
    }

    /// The difference, at least zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This amount as a part of `whole`; infinite if there is no whole.
    #[must_use]
    pub fn share_of(self, whole: Self) -> f64 {
        if self.0 == 0 { 0.0 } else { self.0 as f64 / whole.0 as f64 }
    }

    /// How many times `each` fits into this amount; `i32::MAX` if `each` is zero.
    #[must_use]
    pub fn divided_by(self, each: Self) -> i32 {
        let count = self.0.checked_div(each.0).unwrap_or(u128::MAX);
        i32::try_from(count).unwrap_or(i32::MAX)
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}
