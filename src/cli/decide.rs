//! `plimsoll decide`: the engine as a filter, without a cluster. One observation a line in, one answer a line out.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    path::Path,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    api::{Invalid, KpiState, Reason, ScalableService, Validated},
    engine::{Change, Memory, Observation, Pods, Sample, decide},
};

/// One observation, as it comes in.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObservationLine {
    /// Seconds, from any start; never before the line above.
    pub time: f64,
    /// Replicas wanted now.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Replicas that are ready; as many as wanted if it is left out.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: Option<i32>,
    /// A number for each KPI of the spec, by its name; null means that there is no fresh sample. Others are ignored.
    pub kpis: BTreeMap<String, Option<f64>>,
    /// Requests that wait at a load balancer because no replica is ready; 0 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub held: i32,
}

/// What is answered to one line.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AnswerLine {
    /// What was decided.
    Decision(DecisionLine),
    /// Why the line could not be used; the stream goes on.
    Error(ErrorLine),
}

/// A decision, as it goes out.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DecisionLine {
    /// The observation's time.
    pub time: f64,
    /// Replicas to have.
    pub replicas: i32,
    /// Every step that led there, in order.
    pub reasons: Vec<Reason>,
}

/// A line that could not be used.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ErrorLine {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong, with the field.
    pub error: String,
}

/// Why `decide` can't start, or had to stop.
#[derive(Debug, Error)]
pub enum DecideError {
    /// The file can't be read.
    #[error("{path}: {error}")]
    File {
        /// The path as it was given.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not a ScalableService.
    #[error("{path}: {message}")]
    NotAService {
        /// The path as it was given.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The spec says something that can't be.
    #[error("{path}: {invalid}")]
    Spec {
        /// The path as it was given.
        path: String,
        /// What is wrong, field by field.
        invalid: Invalid,
    },
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Stream(#[from] io::Error),
}

/// Reads a file with one ScalableService among its documents.
pub fn read_service(path: &Path) -> Result<Validated, DecideError> {
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| DecideError::File { path: shown.clone(), error })?;
    let fail = |message: String| DecideError::NotAService { path: shown.clone(), message };
    let mut services = Vec::new();
    for document in documents(&text) {
        let kind =
            serde_saphyr::from_str::<Kind>(&document).map_err(|error| fail(one_line(&error.to_string())))?;
        if kind.kind.as_deref() == Some("ScalableService") {
            let service = serde_saphyr::from_str::<ScalableService>(&document);
            services.push(service.map_err(|error| fail(one_line(&error.to_string())))?);
        }
    }
    match services.as_slice() {
        [service] => Validated::of(service).map_err(|invalid| DecideError::Spec { path: shown, invalid }),
        others => Err(fail(format!(
            "has {} objects of kind ScalableService; it must have exactly one",
            others.len()
        ))),
    }
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// The documents of a YAML file that say anything. Lines are kept in their places, so that an error's line is right.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            documents.push("\n".repeat(number + 1));
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says = |document: &String| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
    };
    documents.into_iter().filter(says).collect()
}

fn one_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Answers every line of `input` on `output` until it ends. Returns how many lines could not be used.
pub fn run(spec: &Validated, input: impl BufRead, mut output: impl Write) -> Result<usize, DecideError> {
    let mut filter = Filter { spec, memory: Memory::default(), last: None };
    let mut unusable = 0;
    for (index, bytes) in input.split(b'\n').enumerate() {
        let bytes = bytes?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let answer = match filter.answer(&bytes) {
            Ok(decision) => AnswerLine::Decision(decision),
            Err(error) => {
                unusable += 1;
                AnswerLine::Error(ErrorLine { line: index + 1, error })
            }
        };
        serde_json::to_writer(&mut output, &answer).map_err(io::Error::from)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(unusable)
}

struct Filter<'a> {
    spec: &'a Validated,
    memory: Memory,
    last: Option<Last>,
}

/// The line before, and what was decided on it.
struct Last {
    time: Timestamp,
    replicas: i32,
    decided: i32,
}

impl Filter<'_> {
    fn answer(&mut self, bytes: &[u8]) -> Result<DecisionLine, String> {
        let line = parse(bytes)?;
        let now = timestamp(line.time)?;
        if let Some(last) = &self.last {
            if now < last.time {
                let before = last.time.as_duration().as_secs_f64();
                return Err(format!(
                    "time is {}; it must not be before that of the line above, {before}",
                    line.time
                ));
            }
            if line.replicas != last.replicas {
                // Ours was carried out when it was decided; somebody else's change is dated by when it was seen.
                let at = if line.replicas == last.decided { last.time } else { now };
                self.memory.changed(Change { at, from: last.replicas, to: line.replicas });
            }
        }
        let seen = Observation {
            replicas: line.replicas,
            pods: Pods::Counted { ready: line.ready_replicas.unwrap_or(line.replicas) },
            samples: self.samples(&line, now),
            held: line.held,
            ..Observation::default()
        };
        let decision = decide(self.spec, &seen, &mut self.memory, now);
        self.last = Some(Last { time: now, replicas: line.replicas, decided: decision.replicas });
        Ok(DecisionLine { time: line.time, replicas: decision.replicas, reasons: decision.reasons })
    }

    fn samples(&self, line: &ObservationLine, now: Timestamp) -> BTreeMap<String, Sample> {
        let sample = |name: &str| match line.kpis.get(name) {
            Some(Some(value)) => Sample::fresh(*value, now),
            Some(None) => Sample::unusable(KpiState::Stale, "the line has null for it"),
            None => Sample::unusable(KpiState::Error, "the line does not have it"),
        };
        self.spec.kpis.iter().map(|rule| (rule.name.clone(), sample(&rule.name))).collect()
    }
}

fn parse(bytes: &[u8]) -> Result<ObservationLine, String> {
    let reader = &mut serde_json::Deserializer::from_slice(bytes);
    let line: ObservationLine = serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let what = error.inner().to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        if path == "." { what.to_owned() } else { format!("{path}: {what}") }
    })?;
    if line.replicas < 0 {
        return Err(format!("replicas is {}; it must be at least 0", line.replicas));
    }
    if line.held < 0 {
        return Err(format!("held is {}; it must be at least 0", line.held));
    }
    match line.ready_replicas {
        Some(ready) if ready < 0 => Err(format!("readyReplicas is {ready}; it must be at least 0")),
        _ => Ok(line),
    }
}

fn timestamp(seconds: f64) -> Result<Timestamp, String> {
    let wrong = || format!("time is {seconds}; it must be seconds between -377705023201 and 253402207200");
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    Timestamp::from_duration(duration).map_err(|_| wrong())
}
