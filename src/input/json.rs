//! Parses a line of JSON into a tree.

use serde::Deserialize as _;

use super::tree::Node;
use plimsoll_api::words::quoted;

/// The one value of a line.
///
/// # Errors
/// One sentence with the field, if there is one, and the column: why the line is not JSON.
pub fn line(text: &str) -> Result<Node, String> {
    let reader = &mut serde_json::Deserializer::from_str(text);
    let node = serde_path_to_error::deserialize(&mut *reader).map_err(|error| {
        let path = error.path().to_string();
        sentence(&path, error.inner(), text)
    })?;
    reader.end().map_err(|error| {
        let rest = rest(text, &error);
        format!("{rest} follows the object; a line must be one object and nothing else")
    })?;
    Ok(node)
}

/// The tree of a JSON value.
#[must_use]
pub fn node(value: &serde_json::Value) -> Node {
    // A tree can hold every JSON value.
    Node::deserialize(value).unwrap_or(Node::Null)
}

fn sentence(path: &str, error: &serde_json::Error, text: &str) -> String {
    // serde_path_to_error writes `?` for an expected key, and `.` for the whole value.
    let field = path.trim_end_matches('?').trim_end_matches('.');
    let subject = if field.is_empty() { "the line" } else { field };
    let message = error.to_string();
    if error.is_eof() {
        return format!("{subject} ends too early; a line must be one whole object of JSON");
    }
    if message.starts_with("recursion limit") {
        return format!("{subject} is nested too deeply; a line must be one object of JSON");
    }
    let rest = rest(text, error);
    if message.starts_with("number out of range") {
        return format!("{subject} has a number out of range at {rest}; it must be below 1e308");
    }
    format!(
        "{subject} is not JSON at {rest}; text and keys must be in double quotes, and NaN and Infinity are not numbers"
    )
}

/// The text from the erroneous word on, with its column.
fn rest(text: &str, error: &serde_json::Error) -> String {
    let mut start = error.column().saturating_sub(1).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = text.get(..start).unwrap_or_default();
    let start = before.trim_end_matches(char::is_alphanumeric).len();
    format!("{} (column {})", quoted(text.get(start..).unwrap_or_default()), start + 1)
}
