//! User input: YAML and JSON as a tree, its validation against a schema, its conversion into a Rust type, and a plain
//! sentence for each mistake.
//!
//! The sentences name the field, what was found and what is allowed. Messages of the parsers and of serde are never shown.

pub mod json;
pub mod schema;
mod tree;
mod typed;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use tree::Node;
pub use typed::typed;
