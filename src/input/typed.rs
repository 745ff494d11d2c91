//! Converts a tree into a Rust type. An error of serde becomes a sentence with the path of the field.

use std::fmt::{self, Display};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::tree::Node;
use plimsoll_api::words::{any_of, child, quoted, unknown_field};

/// Reads `node`, at `path` of its document, as a `T`. A null field counts as absent.
///
/// # Errors
/// One sentence: the field, what was found, what is allowed.
pub fn typed<'de, T: Deserialize<'de>>(node: &'de Node, path: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(Reader(node)).map_err(|error| {
        let below = error.path().to_string();
        let at = match below.as_str() {
            "." => path.to_owned(),
            _ if path.is_empty() => below,
            item if item.starts_with('[') => format!("{path}{item}"),
            _ => format!("{path}.{below}"),
        };
        error.into_inner().sentence(&at)
    })
}

/// An error of serde.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mismatch {
    /// The value is not allowed.
    Value { found: String, allowed: String },
    /// The object at the path lacks a field.
    Missing(&'static str),
    /// The path ends with an unknown field.
    Unknown { field: String, known: &'static [&'static str] },
    /// An error message of the type itself.
    Own(String),
}

impl Mismatch {
    fn sentence(&self, path: &str) -> String {
        let of = if path.is_empty() { "the document" } else { path };
        match self {
            Self::Value { found, allowed } => format!("{of} is {found}; it must be {allowed}"),
            Self::Missing(field) => format!("{} is missing", child(path, field)),
            Self::Unknown { field, known } => {
                // The path already ends with the field.
                let parent = path.strip_suffix(field.as_str()).unwrap_or_default();
                unknown_field(parent.trim_end_matches('.'), field, known)
            }
            Self::Own(sentence) => format!("{of}: {sentence}"),
        }
    }

    fn value(found: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => quoted(text),
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Unit | Unexpected::Option => "null".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "an object".to_owned(),
            other => other.to_string(),
        };
        Self::Value { found, allowed: plain(&allowed.to_string()) }
    }
}

/// Serde's description of the expected value, in terms of the input.
fn plain(expected: &str) -> String {
    let whole = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "isize"];
    match expected {
        number if whole.contains(&number) => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        "a string in Go `time.Duration.String()` format" => "a duration such as 1m30s or 500ms".to_owned(),
        object if object.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(""))
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: Display>(message: T) -> Self {
        Self::Own(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        Self::value(found, allowed)
    }

    fn invalid_value(found: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        Self::value(found, allowed)
    }

    fn unknown_variant(found: &str, allowed: &'static [&'static str]) -> Self {
        Self::Value { found: quoted(found), allowed: any_of(allowed) }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::Unknown { field: field.to_owned(), known }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// A deserializer of a tree.
#[derive(Clone, Copy)]
struct Reader<'de>(&'de Node);

impl<'de> IntoDeserializer<'de, Mismatch> for Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_i64(number),
                (None, Some(number), _) => visitor.visit_u64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Node::Text(text) => visitor.visit_borrowed_str(text),
            Node::List(items) => SeqDeserializer::new(items.iter().map(Reader)).deserialize_any(visitor),
            Node::Map(fields) => {
                let set = fields.iter().filter(|(_, value)| !value.is_null());
                MapDeserializer::new(set.map(|(name, value)| (name.as_str(), Reader(value))))
                    .deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    // serde would accept a list as the fields of a struct.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Node::Map(_) => self.deserialize_any(visitor),
            other => Err(Mismatch::Value { found: other.to_string(), allowed: "an object".to_owned() }),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Node::Text(text) => text.as_str().into_deserializer().deserialize_enum(name, variants, visitor),
            other => Err(Mismatch::Value { found: other.to_string(), allowed: any_of(variants) }),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}
