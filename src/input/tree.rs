//! An untyped YAML document or line of JSON. Keys keep their order, and duplicate keys are kept so that they can be reported.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use plimsoll_api::words::{a_list, child, quoted};

/// A float represents every whole number up to this one (2^53).
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A value of YAML or JSON. Its `Display` is the found value in a sentence.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, or no value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number. A number without a fraction is an integer in any notation: `1e1` and `10.0` are 10.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order of the text.
    Map(Vec<(String, Self)>),
}

impl Node {
    /// The first value of a field; `None` if it is absent or null.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Self> {
        let Self::Map(fields) = self else { return None };
        fields.iter().find(|(name, _)| name == field).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// The fields of an object, in their order; nothing for another value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Self)> {
        let fields = if let Self::Map(fields) = self { fields.as_slice() } else { &[] };
        fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The text of a text node.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The path of the first duplicate key.
    #[must_use]
    pub fn duplicate_key(&self) -> Option<String> {
        self.duplicate_key_in("")
    }

    fn duplicate_key_in(&self, path: &str) -> Option<String> {
        match self {
            Self::List(items) => {
                let mut items = items.iter().enumerate();
                items.find_map(|(index, item)| item.duplicate_key_in(&format!("{path}[{index}]")))
            }
            Self::Map(fields) => {
                let mut seen = BTreeSet::new();
                fields.iter().find_map(|(name, value)| {
                    let path = child(path, name);
                    if seen.insert(name) { value.duplicate_key_in(&path) } else { Some(path) }
                })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => f.write_str(&a_list(items.len())),
            Self::Map(_) => f.write_str("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of YAML or JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
            return Ok(Node::Number((value as i64).into()));
        }
        // Both readers turn numbers that are not finite into text.
        Ok(Number::from_f64(value).map_or_else(|| Node::Text(value.to_string()), Node::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = fields.next_key::<Node>()? {
            let name = match name {
                Node::Text(name) => name,
                Node::List(_) | Node::Map(_) => {
                    return Err(Error::custom(format!("a key is {name}; it must be text")));
                }
                plain => plain.to_string(),
            };
            map.push((name, fields.next_value()?));
        }
        Ok(Node::Map(map))
    }
}
