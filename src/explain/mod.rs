//! The words of a decision: each [`ReasonCode`](plimsoll_api::ReasonCode) with its numbers as a sentence.
//!
//! Pure text. Status, events, logs and the command line all speak through it, so that one thing has one name.
//! A number that is missing shortens the sentence; it is never printed as something else.

mod because;
mod change;
mod failover;
mod number;
mod outlier;
mod sentence;
mod step;

pub use because::because;
pub use change::what_would_change;
pub use number::{number, seconds};
pub use sentence::{fact, sentence};
pub use step::{Step, aged, binding, code_of, step};

use plimsoll_api::{Reason, ReasonCode};

/// `1 replica`, `7 replicas`.
fn replicas(count: i32) -> String {
    format!("{count} {}", if count == 1 { "replica" } else { "replicas" })
}

/// `1 request waits`, `7 requests wait`; `requests wait` without the number.
fn counted(reason: &Reason, key: &str, one: &str, many: &str) -> String {
    match finite(reason, key) {
        Some(1.0) => format!("1 {one}"),
        Some(count) => format!("{} {many}", number(count)),
        None => many.to_owned(),
    }
}

/// The KPI or schedule entry that a reason is about, or `otherwise`.
fn who<'a>(reason: &'a Reason, otherwise: &'a str) -> &'a str {
    reason.name.as_deref().unwrap_or(otherwise)
}

/// All of these numbers as text, or nothing if one is missing.
fn numbers<const N: usize>(reason: &Reason, keys: [&str; N]) -> Option<[String; N]> {
    let mut texts = [const { String::new() }; N];
    for (text, key) in texts.iter_mut().zip(keys) {
        *text = number(finite(reason, key)?);
    }
    Some(texts)
}

/// `before`, a number and `after`; nothing at all without the number.
fn with(reason: &Reason, key: &str, before: &str, after: &str) -> String {
    finite(reason, key).map_or_else(String::new, |value| format!("{before}{}{after}", number(value)))
}

/// As [`with`], for a length of time in seconds.
fn with_seconds(reason: &Reason, key: &str, before: &str, after: &str) -> String {
    finite(reason, key).map_or_else(String::new, |value| format!("{before}{}{after}", seconds(value)))
}

/// What is left of a wait; nothing once it is over.
fn left(reason: &Reason, before: &str, after: &str) -> String {
    let left = reason.number("secondsLeft").is_some_and(|left| left > 0.0);
    if left { with_seconds(reason, "secondsLeft", before, after) } else { String::new() }
}

/// `: ` and the detail, if there is one.
fn detail(reason: &Reason) -> String {
    reason.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", detail.trim_end_matches('.')))
}

fn finite(reason: &Reason, key: &str) -> Option<f64> {
    reason.number(key).filter(|value| value.is_finite())
}

/// Whether the engine set this number to 1.
fn flag(reason: &Reason, key: &str) -> bool {
    reason.number(key).is_some_and(|value| value == 1.0)
}

/// What a rate policy allows: `4 replicas in 60 s`, `50% in 15 s`.
fn policy(reason: &Reason) -> Option<String> {
    let value = finite(reason, "policyValue")?;
    let unit = match (flag(reason, "percent"), value == 1.0) {
        (true, _) => "%",
        (false, true) => " replica",
        (false, false) => " replicas",
    };
    Some(format!("{}{unit}{}", number(value), with_seconds(reason, "periodSeconds", " in ", "")))
}

/// How long ago the proposal that a stabilisation window holds was made.
fn held_since(reason: &Reason) -> Option<String> {
    let age = finite(reason, "windowSeconds")? - finite(reason, "secondsLeft")?;
    (age >= 0.0).then(|| seconds(age))
}

/// The replicas that a step asks for or allows: its number `limit`, or where it ends.
fn limit(reason: &Reason) -> String {
    finite(reason, "limit").map_or_else(|| reason.to.to_string(), number)
}

/// The proposal that won: the one that asks for what the limits then found, or for the most; as in the engine the
/// last of equals.
fn winner(reasons: &[Reason]) -> Option<&Reason> {
    let end = || reasons.iter().rev().find(|reason| step(reason.code) == Step::End).map(|end| end.to);
    let proposed = step::limits(reasons).next().map(|limit| limit.from).or_else(end);
    let proposals = || reasons.iter().filter(|reason| step(reason.code) == Step::Proposal);
    proposals()
        .rev()
        .find(|reason| Some(reason.to) == proposed)
        .or_else(|| proposals().max_by_key(|reason| reason.to))
}

/// What lifted the replicas to where a limit found them: the schedule if it did, else the proposal that won.
fn demand(reasons: &[Reason]) -> Option<&Reason> {
    let lifted = |reason: &&Reason| reason.code == ReasonCode::ScheduleFloor && reason.to > reason.from;
    reasons.iter().rev().find(lifted).or_else(|| winner(reasons))
}
