//! `plimsoll decide`: the engine as a filter, without a cluster. Each input line is an observation, each output line an answer.

mod line;
mod service;

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    path::Path,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;

use super::filter;
pub use line::{KpiAnswer, NoNumber, ObservationLine, Unusable};
pub use service::service;

use plimsoll_api::{Invalid, KpiState, StepRecord, Validated};
use plimsoll_engine::{Change, Memory, Observation, Pods, Sample, alone, turn};

/// A decision, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DecisionLine {
    /// The observation's time.
    pub time: f64,
    /// Desired replicas.
    pub replicas: i32,
    /// The steps of the decision, in order.
    pub reasons: Vec<StepRecord>,
}

/// Why `decide` can't start or continue.
#[derive(Debug, Error)]
pub enum DecideError {
    /// The file can't be read.
    #[error("{path}: {error}")]
    File {
        /// The path as it was given.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// The file has no ScalableService that the API server would accept.
    #[error("{path}: {invalid}")]
    Refused {
        /// The path as it was given.
        path: String,
        /// The errors by field.
        invalid: Invalid,
    },
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Stream(#[from] io::Error),
}

/// Reads a file that has exactly one ScalableService among its documents.
pub fn read_service(path: &Path) -> Result<Validated, DecideError> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| DecideError::File { path: shown.clone(), error })?;
    service(&bytes).map_err(|invalid| DecideError::Refused { path: shown, invalid })
}

/// Answers every line of `input` on `output`. Returns the number of lines that could not be used.
pub fn run(spec: &Validated, input: impl BufRead, output: impl Write) -> Result<usize, DecideError> {
    let mut filter = Filter { spec, memory: Memory::default(), last: None };
    Ok(filter::run(input, output, |bytes| filter.answer(bytes))?)
}

struct Filter<'a> {
    spec: &'a Validated,
    memory: Memory,
    last: Option<Last>,
}

/// The previous line and its decision.
struct Last {
    time: Timestamp,
    replicas: i32,
    decided: i32,
}

impl Filter<'_> {
    fn answer(&mut self, bytes: &[u8]) -> Result<DecisionLine, String> {
        let line = line::read(bytes)?;
        let now = filter::timestamp(line.time);
        if let Some(last) = &self.last {
            filter::in_order(line.time, last.time.as_duration().as_secs_f64())?;
            if line.replicas != last.replicas {
                // Our own change took effect when it was decided; a foreign change is dated by its observation.
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
        let decision = turn(self.spec, &seen, &mut self.memory, now, &mut alone).decision;
        self.last = Some(Last { time: now, replicas: line.replicas, decided: decision.replicas });
        let reasons = decision.reasons.iter().map(StepRecord::from).collect();
        Ok(DecisionLine { time: line.time, replicas: decision.replicas, reasons })
    }

    fn samples(&self, line: &ObservationLine, now: Timestamp) -> BTreeMap<String, Sample> {
        let sample = |name: &str| match line.kpis.get(name) {
            Some(KpiAnswer::Number(value)) => Sample::fresh(*value, now),
            Some(KpiAnswer::NoSample(())) => Sample::unusable(KpiState::Stale, "the line has null for it"),
            Some(KpiAnswer::State(NoNumber { state })) => {
                Sample::unusable((*state).into(), "the line has this state for it")
            }
            None => Sample::unusable(KpiState::Error, "the line does not have it"),
        };
        self.spec.kpis.iter().map(|rule| (rule.name.clone(), sample(&rule.name))).collect()
    }
}
