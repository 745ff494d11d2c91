//! What came of one look at a service.

use std::collections::BTreeMap;

use jiff::Timestamp;

use plimsoll_api::{Arrival, ReasonCode};
use plimsoll_engine::{Decision, Recovery, Shift};

/// What came of one look.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Plimsoll can't scale for this service.
    Refused(Box<Refusal>),
    /// A decision was made.
    Done(Box<Done>),
}

/// Why Plimsoll can't scale for a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Why.
    pub reason: ReasonCode,
    /// In a sentence.
    pub message: String,
    /// Where requests go all the same; `None` without `spec.failover`, or where nothing is known of the replicas.
    pub shift: Option<Shift>,
}

impl Refusal {
    /// Whether it is of the API server's answer, and not of what users wrote.
    #[must_use]
    pub fn passes(&self) -> bool {
        Self::is_of_the_answer(self.reason)
    }

    /// Whether a refusal with this reason is of the API server's answer.
    #[must_use]
    pub fn is_of_the_answer(reason: ReasonCode) -> bool {
        reason == ReasonCode::ScaleFailed
    }
}

impl Outcome {
    /// Where requests go, if that was decided.
    #[must_use]
    pub fn shift(&self) -> Option<&Shift> {
        match self {
            Self::Refused(refusal) => refusal.shift.as_ref(),
            Self::Done(done) => done.shift.as_ref(),
        }
    }
}

/// A decision and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// When it was decided.
    pub at: Timestamp,
    /// Replicas that the target wanted when it was decided.
    pub seen: i32,
    /// Replicas that the target wants by now.
    pub now: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// The fewest replicas when it was decided: minReplicas, or more while a schedule holds.
    pub floor: i32,
    /// The target's selector, as text.
    pub selector: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// What became of it.
    pub written: Written,
    /// Pods that were let go and that balancers are still to leave alone, with when they were chosen.
    pub leaving: BTreeMap<String, Timestamp>,
    /// Pods that became ready while requests waited for the first one.
    pub arrived: Vec<Arrival>,
    /// Balancers that are ready; `None` if Plimsoll runs none.
    pub balancers: Option<i32>,
    /// What was done about outliers; `None` without `spec.recovery`.
    pub recovery: Option<Recovery>,
    /// Where requests go; `None` without `spec.failover`.
    pub shift: Option<Shift>,
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was nothing to write, or nothing may be written.
    Nothing,
    /// The replicas were changed.
    Changed,
    /// They should have been, but the write failed.
    Failed(String),
}
