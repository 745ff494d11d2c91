//! A number as Kubernetes writes it: `"120"`, `"0.25"`, `"250m"`, `"2k"`, `"1Gi"`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A Kubernetes resource quantity (apimachinery `resource.Quantity`), kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity(pub String);

const SUFFIXES: [(&str, f64); 13] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
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
    /// The number, or `None` if the text is not a finite quantity.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        let text = self.0.trim();
        let plain = |text: &str| {
            let digits = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            text.parse::<f64>().ok().filter(|value| digits && value.is_finite())
        };
        plain(text).or_else(|| {
            SUFFIXES.iter().find_map(|(suffix, factor)| {
                text.strip_suffix(suffix).and_then(plain).map(|value| value * factor)
            })
        })
    }
}

/// YAML has `120` as well as `"120"`; both mean the same here, as in the API server's int-or-string.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Integer(i64),
            Float(f64),
            Text(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Integer(number) => number.to_string(),
            Written::Float(number) => number.to_string(),
            Written::Text(text) => text,
        }))
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
    fn reads_what_kubernetes_writes() {
        for (text, value) in [
            ("120", 120.0),
            ("0.25", 0.25),
            ("250m", 0.25),
            ("2k", 2000.0),
            ("1Gi", 1_073_741_824.0),
            ("1e3", 1000.0),
        ] {
            assert_eq!(Quantity(text.into()).value(), Some(value), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", "fast", "inf", "NaN", "1.2.3", "12 req", "k"] {
            assert_eq!(Quantity(text.into()).value(), None, "{text}");
        }
    }
}
