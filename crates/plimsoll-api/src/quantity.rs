//! A Kubernetes quantity: `"120"`, `"0.25"`, `"250m"`, `"2k"`, `"1Gi"`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor},
};

/// A Kubernetes resource quantity (apimachinery `resource.Quantity`), stored as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity(pub String);

/// The suffixes of apimachinery's `resource.Quantity`. Longer suffixes come first, since `Ei` is not `E`.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

impl Quantity {
    /// The number, or `None` if the text is not a finite quantity: a decimal number, with an exponent of ten or one of the
    /// suffixes.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        let text = self.0.as_str();
        let number = |text: &str, allowed: &str| {
            let decimal = text.chars().all(|c| c.is_ascii_digit() || allowed.contains(c));
            text.parse::<f64>().ok().filter(|value| decimal && value.is_finite())
        };
        number(text, "+-.eE").or_else(|| {
            SUFFIXES.iter().find_map(|(suffix, factor)| {
                let value = number(text.strip_suffix(suffix)?, "+-.")? * factor;
                value.is_finite().then_some(value)
            })
        })
    }
}

/// `120` and `"120"` are equal, as in the API server's int-or-string.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a quantity in quotes such as \"0.25\" or \"250m\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
        Ok(Quantity(text.to_owned()))
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn valid_quantities_are_parsed() {
        for (text, value) in [
            ("120", 120.0),
            ("0.25", 0.25),
            ("250m", 0.25),
            ("2k", 2000.0),
            ("1Gi", 1_073_741_824.0),
            ("1Pi", 1_125_899_906_842_624.0),
            ("1Ei", 1_152_921_504_606_846_976.0),
            ("1e3", 1000.0),
            ("1E3", 1000.0),
            ("1E", 1e18),
            (".5", 0.5),
            ("5.", 5.0),
            ("+2", 2.0),
        ] {
            assert_eq!(Quantity(text.into()).value(), Some(value), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_quantity_has_no_value() {
        for text in [
            "", "fast", "inf", "NaN", "1.2.3", "12 req", "k", " 1", "1,5", "1e3k", "0x10", "٣", "1ei",
            "1e400",
        ] {
            assert_eq!(Quantity(text.into()).value(), None, "{text}");
        }
    }
}
