//! Which fault holds, and what was asked while it did.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::question::Question;

/// Distinct paths or queries that are counted apart; what comes later is counted as `other`.
const MOST_KEYS: usize = 100_000;
/// Bounds of the two numbers, in seconds.
const LONGEST_DELAY: f64 = 3_600.0;
const LARGEST_SKEW: f64 = 366.0 * 86_400.0;

/// What the proxy does to an answer. The last six change answers of `/api/v1/` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing.
    #[default]
    None,
    /// Closes the connection without an answer.
    Down,
    /// Passes the request on after `delaySeconds`.
    Slow,
    /// Answers 500, as Prometheus does.
    Status500,
    /// Answers 200 with a text that is not JSON.
    Garbage,
    /// Answers 200 with 100 MiB of valid JSON.
    Huge,
    /// A valid answer without any series.
    Empty,
    /// Every value is NaN.
    Nan,
    /// Every second series is missing.
    Half,
    /// A warning is added, as by a query layer that could not reach all its stores.
    Partial,
    /// Answers are those of the moment at which the fault began.
    Stale,
    /// All timestamps are shifted by `skewSeconds`.
    Skew,
}

/// The switch, as a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    pub mode: Mode,
    /// With `slow`, 0 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<f64>,
    /// With `skew`, within ± 366 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_seconds: Option<f64>,
}

impl Fault {
    /// Reads and checks a JSON document.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let fault: Self =
            serde_json::from_slice(json).map_err(|error| format!("the fault is not valid: {error}"))?;
        number("delaySeconds", fault.delay_seconds, fault.mode == Mode::Slow, "slow", 0.0, LONGEST_DELAY)?;
        let skew = fault.mode == Mode::Skew;
        number("skewSeconds", fault.skew_seconds, skew, "skew", -LARGEST_SKEW, LARGEST_SKEW)?;
        Ok(fault)
    }
}

fn number(
    name: &str,
    value: Option<f64>,
    needed: bool,
    mode: &str,
    least: f64,
    most: f64,
) -> Result<(), String> {
    match value {
        Some(value) if needed && (least..=most).contains(&value) => Ok(()),
        Some(value) if needed => Err(format!("{name} is {value}, but must be from {least} to {most}")),
        Some(_) => Err(format!("{name} is only allowed with the mode {mode}")),
        None if needed => Err(format!("{name} is missing: the mode {mode} needs it")),
        None => Ok(()),
    }
}

/// An answer that is kept while answers are stale.
pub type Kept = (StatusCode, Bytes);

/// The switch and the counts, shared by both ports.
#[derive(Default)]
pub struct State(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    fault: Fault,
    /// When the fault began, in seconds since 1970.
    since: f64,
    /// Changes with each fault, so that an answer on its way is not kept for the next one.
    epoch: u64,
    kept: BTreeMap<String, Kept>,
    seen: BTreeMap<String, BTreeMap<Mode, u64>>,
    requests: u64,
    by_query: BTreeMap<String, u64>,
}

/// The fault that a request meets.
pub struct Met {
    pub fault: Fault,
    pub since: f64,
    epoch: u64,
}

impl State {
    pub fn set(&self, fault: Fault) {
        let mut inner = self.lock();
        inner.fault = fault;
        inner.since = unix_now();
        inner.epoch += 1;
        inner.kept.clear();
    }

    /// Counts a request, and tells which fault it meets.
    pub fn meet(&self, question: &Question) -> Met {
        let mut inner = self.lock();
        let mode = inner.fault.mode;
        inner.requests += 1;
        *counter(&mut inner.seen, question.path()).entry(mode).or_default() += 1;
        if let Some(query) = question.query() {
            *counter(&mut inner.by_query, query) += 1;
        }
        Met { fault: inner.fault.clone(), since: inner.since, epoch: inner.epoch }
    }

    pub fn kept(&self, met: &Met, key: &str) -> Option<Kept> {
        let inner = self.lock();
        if inner.epoch == met.epoch { inner.kept.get(key).cloned() } else { None }
    }

    /// Keeps an answer, unless one came first; returns the one that holds.
    pub fn keep(&self, met: &Met, key: String, answer: Kept) -> Kept {
        let mut inner = self.lock();
        if inner.epoch != met.epoch {
            return answer;
        }
        inner.kept.entry(key).or_insert(answer).clone()
    }

    /// The fault, with the requests by path and by the mode that they met.
    pub fn show(&self) -> Value {
        let inner = self.lock();
        json!({ "fault": inner.fault, "seen": inner.seen })
    }

    pub fn stats(&self) -> Value {
        let inner = self.lock();
        json!({ "requests": inner.requests, "distinctQueries": inner.by_query.len(), "byQuery": inner.by_query })
    }

    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.requests = 0;
        inner.by_query.clear();
        inner.seen.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counter<'a, T: Default>(counts: &'a mut BTreeMap<String, T>, key: &str) -> &'a mut T {
    let known = counts.len() < MOST_KEYS || counts.contains_key(key);
    counts.entry(if known { key } else { "other" }.to_owned()).or_default()
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_name_and_its_numbers() {
        for mode in
            ["none", "down", "status500", "garbage", "huge", "empty", "nan", "half", "partial", "stale"]
        {
            let fault = Fault::parse(format!("{{\"mode\": \"{mode}\"}}").as_bytes()).expect(mode);
            assert_eq!(serde_json::to_string(&fault).expect("json"), format!("{{\"mode\":\"{mode}\"}}"));
        }
        let fault = Fault::parse(br#"{"mode": "skew", "skewSeconds": -300}"#).expect("valid");
        assert_eq!((fault.mode, fault.skew_seconds), (Mode::Skew, Some(-300.0)));
        for (text, wanted) in [
            (r#"{"mode": "gone"}"#, "unknown variant `gone`"),
            (r#"{}"#, "missing field `mode`"),
            (r#"{"mode": "slow"}"#, "delaySeconds is missing"),
            (r#"{"mode": "slow", "delaySeconds": -1}"#, "from 0 to 3600"),
            (r#"{"mode": "down", "skewSeconds": 1}"#, "only allowed with the mode skew"),
        ] {
            let error = Fault::parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn an_answer_of_an_earlier_fault_is_not_kept() {
        let state = State::default();
        let question = Question::new(&"/api/v1/query?query=up".parse().expect("uri"), None);
        let before = state.meet(&question);
        state.set(Fault { mode: Mode::Stale, ..Fault::default() });
        let now = state.meet(&question);
        let answer = |text: &'static str| (StatusCode::OK, Bytes::from(text));
        state.keep(&before, "up".into(), answer("old"));
        assert_eq!(state.kept(&now, "up"), None);
        assert_eq!(state.keep(&now, "up".into(), answer("first")).1, "first");
        assert_eq!(state.keep(&now, "up".into(), answer("second")).1, "first");
    }
}
