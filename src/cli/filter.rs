//! Commands that are filters: each input line of JSON yields one output line of JSON.

use std::io::{self, BufRead, Write};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::input::{Node, json};

/// The earliest `time`, in Unix time: the start of the year 1.
const FIRST: f64 = -62_135_596_800.0;
/// The latest `time`: the end of the year 8999. Calendars end with the year 9999.
const LAST: f64 = 221_845_391_999.0;

/// An output line.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AnswerLine<T> {
    /// The answer to an input line.
    Answer(T),
    /// Why the input line could not be used; the following lines are still read.
    Error(ErrorLine),
}

/// A line that could not be used.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ErrorLine {
    /// Line number, from 1.
    pub line: usize,
    /// The error, with the field.
    pub error: String,
}

/// Answers every line of `input` on `output`, except for empty ones. Returns the number of lines that could not be used.
///
/// # Errors
/// Standard input or output failed.
pub fn run<T: Serialize>(
    input: impl BufRead,
    mut output: impl Write,
    mut answer: impl FnMut(&[u8]) -> Result<T, String>,
) -> io::Result<usize> {
    let mut unusable = 0;
    for (index, bytes) in input.split(b'\n').enumerate() {
        let bytes = bytes?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = match answer(&bytes) {
            Ok(answer) => AnswerLine::Answer(answer),
            Err(error) => {
                unusable += 1;
                AnswerLine::Error(ErrorLine { line: index + 1, error })
            }
        };
        serde_json::to_writer(&mut output, &line).map_err(io::Error::from)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(unusable)
}

/// The object of a line; `fields` are its required fields, for the message.
///
/// # Errors
/// One sentence: the field, what was found, what is allowed.
pub fn object(bytes: &[u8], fields: &str) -> Result<Node, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let column = error.valid_up_to() + 1;
        format!("the line has the byte 0x{byte:02x} in column {column}; it must be JSON in UTF-8")
    })?;
    let line = json::line(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let Node::Map(_) = &line else {
        return Err(format!("the line is {line}; it must be an object with {fields}"));
    };
    match line.duplicate_key() {
        Some(path) => Err(format!("{path} is set twice; it must be set once")),
        None => Ok(line),
    }
}

/// The `time` of a line, in seconds.
///
/// # Errors
/// One sentence: it is missing, no number, or out of range.
pub fn time(line: &Node) -> Result<f64, String> {
    let allowed = format!("a number of seconds from {FIRST} to {LAST}");
    let Some(found) = line.get("time") else { return Err(format!("time is missing; it must be {allowed}")) };
    let seconds = match found {
        Node::Number(number) => number.as_f64().filter(|seconds| (FIRST..=LAST).contains(seconds)),
        _ => None,
    };
    seconds.ok_or_else(|| format!("time is {found}; it must be {allowed}"))
}

/// Refuses a `time` before that of the previous line.
///
/// # Errors
/// One sentence with both.
pub fn in_order(time: f64, before: f64) -> Result<(), String> {
    if timestamp(time) < timestamp(before) {
        return Err(format!("time is {time}; it must not be before the time of the previous line, {before}"));
    }
    Ok(())
}

/// The timestamp of a `time` within its range.
#[must_use]
pub fn timestamp(seconds: f64) -> Timestamp {
    let since = SignedDuration::try_from_secs_f64(seconds).unwrap_or_default();
    Timestamp::from_duration(since).unwrap_or_default()
}
