//! A YAML document or a line of JSON before it has a type. Keys keep their order, and one that is there twice is kept
//! twice, so that it can be told.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use plimsoll_api::words::{a_list, child, quoted};

/// Every whole number up to here is a float too (2^53).
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A value of YAML or JSON. Its `Display` is what a sentence says was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number. One without a fraction is an integer, however it was written: `1e1` and `10.0` are 10.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order of the text.
    Map(Vec<(String, Self)>),
}

impl Node {
    /// The first value of a field; `None` where it is not there, or null.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Self> {
        let Self::Map(fields) = self else { return None };
        fields.iter().find(|(name, _)| name == field).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The path of the first key that is there twice.
    #[must_use]
    pub fn twice(&self) -> Option<String> {
        self.twice_in("")
    }

    fn twice_in(&self, path: &str) -> Option<String> {
        match self {
            Self::List(items) => {
                let mut items = items.iter().enumerate();
                items.find_map(|(index, item)| item.twice_in(&format!("{path}[{index}]")))
            }
            Self::Map(fields) => {
                let mut seen = BTreeSet::new();
                fields.iter().find_map(|(name, value)| {
                    let path = child(path, name);
                    if seen.insert(name) { value.twice_in(&path) } else { Some(path) }
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
        // Both readers make text of what is not finite.
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
