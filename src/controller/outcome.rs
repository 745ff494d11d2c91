//! What came of one look at a service: what was decided, which stays, and what changes between two looks.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;

use plimsoll_api::{Arrival, DecisionCode, DecisionReason, DecisionStep, ReasonCode};
use plimsoll_engine::{Decision, FailoverDecision, Recovery};

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
    pub failover: Option<FailoverDecision>,
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
        reason == ReasonCode::Decision(DecisionCode::ScaleFailed)
    }
}

impl Outcome {
    /// Where requests go, if that was decided.
    #[must_use]
    pub fn failover(&self) -> Option<&FailoverDecision> {
        match self {
            Self::Refused(refusal) => refusal.failover.as_ref(),
            Self::Done(done) => done.decided.failover.as_ref(),
        }
    }

    /// The decision and what became of it, unless the service was refused.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::Refused(_) => None,
        }
    }

    /// The same, to be brought up to date.
    pub fn done_mut(&mut self) -> Option<&mut Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::Refused(_) => None,
        }
    }
}

/// A decision and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What was decided.
    pub decided: Decided,
    /// What became of it.
    pub progress: Progress,
}

/// What was decided, and on what.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// When it was decided.
    pub at: Timestamp,
    /// Replicas that the target wanted when it was decided.
    pub seen: i32,
    /// The fewest replicas when it was decided: minReplicas, or more while a schedule holds.
    pub floor: i32,
    /// The target's selector, as text.
    pub selector: Option<String>,
    /// How many replicas there should be.
    pub decision: Decision,
    /// Where requests go; `None` without `spec.failover`.
    pub failover: Option<FailoverDecision>,
}

/// What became of a decision until now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Replicas that the target wants by now.
    pub now: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// What became of the write of the replicas.
    pub written: Written,
    /// Departed pods that balancers still have to leave alone, with when they were chosen.
    pub leaving: BTreeMap<String, Timestamp>,
    /// Pods that became ready while requests waited for the first one.
    pub arrived: Vec<Arrival>,
    /// Balancers that are ready; `None` if Plimsoll runs none.
    pub balancers: Option<i32>,
    /// What was done about outliers; `None` without `spec.recovery`.
    pub recovery: Option<Recovery>,
}

impl Done {
    /// The steps of the decision. The last one says what was made of it: only what the API server accepted is a change.
    #[must_use]
    pub fn reasons(&self) -> Cow<'_, [DecisionStep]> {
        let reasons = &self.decided.decision.reasons;
        match (self.progress.written.why_not(), reasons.split_last()) {
            (Some(why), Some((last, before))) if is_a_change(last.code()) => {
                let failed = DecisionReason::ScaleFailed { why: why.to_owned() }.step(last.from, last.to);
                Cow::Owned(before.iter().cloned().chain([failed]).collect())
            }
            _ => Cow::Borrowed(reasons),
        }
    }
}

/// Whether a step says that the replicas were changed.
#[must_use]
pub fn is_a_change(step: DecisionCode) -> bool {
    matches!(step, DecisionCode::ScaledUp | DecisionCode::ScaledDown)
}

/// What became of the write of the replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// There was nothing to write, or the change has been reported.
    #[default]
    Nothing,
    /// The replicas were changed.
    Changed,
    /// This process does not lead.
    NotLeading,
    /// Another client changed the target between the read and the write; in a sentence.
    Conflict(String),
    /// They should have been changed, but the write failed.
    Failed(String),
}

impl Written {
    /// Why a change was not made.
    #[must_use]
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Nothing | Self::Changed => None,
            Self::NotLeading => Some("this process does not lead"),
            Self::Conflict(why) | Self::Failed(why) => Some(why),
        }
    }
}
