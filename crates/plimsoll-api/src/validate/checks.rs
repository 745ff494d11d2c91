//! Checks that several parts of the validation share.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::{Quantity, words::quoted};

/// Whether the text is a valid object name: 1 to 253 lower-case letters, digits, `-` and `.`, with a letter or a digit at both
/// ends.
pub fn is_object_name(text: &str) -> bool {
    let edge = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    text.len() <= 253
        && text.chars().all(|char| edge(char) || "-.".contains(char))
        && text.starts_with(edge)
        && text.ends_with(edge)
}

pub fn unique<'a>(path: &str, names: impl Iterator<Item = &'a str>, errors: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            errors.push(format!("{path} has the name {} twice; names must be unique", quoted(name)));
        }
    }
}

pub fn above_zero(
    path: &str,
    quantity: &Quantity,
    most: f64,
    allowed: &str,
    errors: &mut Vec<String>,
) -> Option<f64> {
    let value = quantity.value().filter(|value| *value > 0.0 && *value <= most);
    if value.is_none() {
        errors.push(format!("{path} is {}; it must be {allowed}", quoted(&quantity.0)));
    }
    value
}

/// The number of a quantity of at least 0. `example` is the quantity in the sentence for any other.
pub fn at_least_zero(
    path: &str,
    quantity: &Quantity,
    example: &str,
    errors: &mut Vec<String>,
) -> Option<f64> {
    let value = quantity.value().filter(|value| *value >= 0.0);
    if value.is_none() {
        let found = quoted(&quantity.0);
        errors.push(format!("{path} is {found}; it must be a quantity of at least 0, such as \"{example}\""));
    }
    value
}

pub fn duration(duration: &kube::core::Duration) -> SignedDuration {
    let length =
        SignedDuration::try_from(std::time::Duration::from(*duration)).unwrap_or(SignedDuration::MAX);
    if duration.is_negative() { -length } else { length }
}

/// In the format of jiff: `169h`, `1m 30s`, `500ms`; but a negative duration has a sign, where jiff writes `5s ago`.
pub fn text(length: &kube::core::Duration) -> String {
    let length = duration(length);
    let sign = if length.is_negative() { "-" } else { "" };
    format!("{sign}{:#}", length.abs())
}

pub fn chars(
    path: &str,
    found: &str,
    most: usize,
    allowed: impl Fn(char) -> bool,
    what: &str,
    errors: &mut Vec<String>,
) {
    if !(1..=most).contains(&found.len()) || !found.chars().all(allowed) {
        errors.push(format!("{path} is {}; it must be 1 to {most} {what}", quoted(found)));
    }
}

pub fn number(path: &str, found: i32, allowed: RangeInclusive<i32>, errors: &mut Vec<String>) {
    if !allowed.contains(&found) {
        let (least, most) = (allowed.start(), allowed.end());
        errors.push(format!("{path} is {found}; it must be from {least} to {most}"));
    }
}
