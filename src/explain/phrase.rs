//! Phrases that several sentences have in common.
//!
//! A number that is missing shortens the phrase; it is never printed as something else.

use super::number::{number, seconds};
use plimsoll_api::Reason;

/// `1 replica`, `7 replicas`.
pub(super) fn replicas(count: i32) -> String {
    format!("{count} {}", if count == 1 { "replica" } else { "replicas" })
}

/// `1 request waits`, `7 requests wait`; `requests wait` without the number.
pub(super) fn counted(reason: &Reason, key: &str, one: &str, many: &str) -> String {
    match finite(reason, key) {
        Some(1.0) => format!("1 {one}"),
        Some(count) => format!("{} {many}", number(count)),
        None => many.to_owned(),
    }
}

/// The KPI or schedule entry that a reason is about, or `otherwise`.
pub(super) fn who<'a>(reason: &'a Reason, otherwise: &'a str) -> &'a str {
    reason.name.as_deref().unwrap_or(otherwise)
}

/// All of these numbers as text, or nothing if one is missing.
pub(super) fn numbers<const N: usize>(reason: &Reason, keys: [&str; N]) -> Option<[String; N]> {
    let mut texts = [const { String::new() }; N];
    for (text, key) in texts.iter_mut().zip(keys) {
        *text = number(finite(reason, key)?);
    }
    Some(texts)
}

/// `before`, a number and `after`; nothing at all without the number.
pub(super) fn with(reason: &Reason, key: &str, before: &str, after: &str) -> String {
    finite(reason, key).map_or_else(String::new, |value| format!("{before}{}{after}", number(value)))
}

/// As [`with`], for a length of time in seconds.
pub(super) fn with_seconds(reason: &Reason, key: &str, before: &str, after: &str) -> String {
    finite(reason, key).map_or_else(String::new, |value| format!("{before}{}{after}", seconds(value)))
}

/// What is left of a wait; nothing once it is over.
pub(super) fn left(reason: &Reason, before: &str, after: &str) -> String {
    let left = reason.number("secondsLeft").is_some_and(|left| left > 0.0);
    if left { with_seconds(reason, "secondsLeft", before, after) } else { String::new() }
}

/// `: ` and the detail, if there is one.
pub(super) fn detail(reason: &Reason) -> String {
    reason.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", detail.trim_end_matches('.')))
}

pub(super) fn finite(reason: &Reason, key: &str) -> Option<f64> {
    reason.number(key).filter(|value| value.is_finite())
}

/// Whether the engine set this number to 1.
pub(super) fn flag(reason: &Reason, key: &str) -> bool {
    reason.number(key).is_some_and(|value| value == 1.0)
}

/// What a rate policy allows: `4 replicas in 60 s`, `50% in 15 s`.
pub(super) fn policy(reason: &Reason) -> Option<String> {
    let value = finite(reason, "policyValue")?;
    let unit = match (flag(reason, "percent"), value == 1.0) {
        (true, _) => "%",
        (false, true) => " replica",
        (false, false) => " replicas",
    };
    Some(format!("{}{unit}{}", number(value), with_seconds(reason, "periodSeconds", " in ", "")))
}

/// How long ago the proposal that a stabilisation window holds was made.
pub(super) fn held_since(reason: &Reason) -> Option<String> {
    let age = finite(reason, "windowSeconds")? - finite(reason, "secondsLeft")?;
    (age >= 0.0).then(|| seconds(age))
}

/// The replicas that a step asks for or allows: its number `limit`, or where it ends.
pub(super) fn limit(reason: &Reason) -> String {
    finite(reason, "limit").map_or_else(|| reason.to.to_string(), number)
}
