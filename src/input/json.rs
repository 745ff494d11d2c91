//! A line of JSON to a tree.

use serde::Deserialize as _;

use super::tree::Node;
use plimsoll_api::words::quoted;

/// The one value of a line.
///
/// # Errors
/// One sentence with the field, if it is within one, and the column: why it is no JSON.
pub fn line(text: &str) -> Result<Node, String> {
    let reader = &mut serde_json::Deserializer::from_str(text);
    let node = serde_path_to_error::deserialize(&mut *reader).map_err(|error| {
        let path = error.path().to_string();
        sentence(&path, error.inner(), text)
    })?;
    reader.end().map_err(|error| {
        let rest = rest(text, &error);
        format!("{rest} stands after the object; a line must be one object and nothing else")
    })?;
    Ok(node)
}

/// A tree of what is JSON already.
#[must_use]
pub fn node(value: &serde_json::Value) -> Node {
    // The tree takes every value.
    Node::deserialize(value).unwrap_or(Node::Null)
}

fn sentence(path: &str, error: &serde_json::Error, text: &str) -> String {
    // serde_path_to_error writes `?` where a key was to come, and `.` for the whole.
    let field = path.trim_end_matches('?').trim_end_matches('.');
    let subject = if field.is_empty() { "the line" } else { field };
    let said = error.to_string();
    if error.is_eof() {
        return format!("{subject} ends too early; a line must be one whole object of JSON");
    }
    if said.starts_with("recursion limit") {
        return format!("{subject} is nested too deeply; a line must be one object of JSON");
    }
    let rest = rest(text, error);
    if said.starts_with("number out of range") {
        return format!("{subject} is too large at {rest}; a number must be below 1e308");
    }
    format!(
        "{subject} is not JSON at {rest}; text and keys must be in double quotes, and NaN or Infinity is no number"
    )
}

/// The text from the word in which an error was found, with its column.
fn rest(text: &str, error: &serde_json::Error) -> String {
    let mut start = error.column().saturating_sub(1).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = text.get(..start).unwrap_or_default();
    let start = before.trim_end_matches(char::is_alphanumeric).len();
    format!("{} (column {})", quoted(text.get(start..).unwrap_or_default()), start + 1)
}
