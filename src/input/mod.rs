//! What people write: YAML and JSON as a tree, its check against a schema, its way into a Rust type, and a plain sentence
//! for each mistake.
//!
//! The sentences name the field, what was found and what is allowed. No message of a parser or of serde reaches a user.

pub mod json;
pub mod schema;
mod tree;
mod typed;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use tree::Node;
pub use typed::typed;
