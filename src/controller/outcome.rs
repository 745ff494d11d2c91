//! The outcome of an evaluation: the decision, which is fixed, and its progress, which each turn updates.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;

use plimsoll_api::{Arrival, DecisionCode, DecisionReason, DecisionStep, ReasonCode};
use plimsoll_engine::{Decision, FailoverDecision, Recovery};

/// The outcome of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Plimsoll can't scale for this service.
    Refused(Box<Refusal>),
    /// A decision was made.
    Done(Box<Done>),
}

/// Why Plimsoll can't scale for a service, and what failover decides in that case.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The reason.
    pub reason: ReasonCode,
    /// The reason as a sentence.
    pub message: String,
    /// Where requests go; `None` without `spec.failover`, or if nothing is known of the replicas.
    pub failover: Option<FailoverDecision>,
}

impl Refusal {
    /// Whether it is transient: caused by the API server's answer, not by what users wrote.
    #[must_use]
    pub fn passes(&self) -> bool {
        Self::is_of_the_answer(self.reason)
    }

    /// Whether a refusal with this reason is caused by the API server's answer.
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

    /// The decision and its progress, unless the service was refused.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::Refused(_) => None,
        }
    }

    /// Mutable access to [`Self::done`].
    pub fn done_mut(&mut self) -> Option<&mut Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::Refused(_) => None,
        }
    }
}

/// A decision and its progress.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The decision.
    pub decided: Decided,
    /// Its progress.
    pub progress: Progress,
}

/// A decision and its basis.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Time of the decision.
    pub at: Timestamp,
    /// The target's desired replicas at that time.
    pub seen: i32,
    /// The minimum at that time: minReplicas, or more while a schedule is active.
    pub floor: i32,
    /// The target's selector, as text.
    pub selector: Option<String>,
    /// The replicas to have, with reasons.
    pub decision: Decision,
    /// Where requests go; `None` without `spec.failover`.
    pub failover: Option<FailoverDecision>,
}

/// The progress of a decision until now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The target's current desired replicas.
    pub now: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Result of the write of the replicas.
    pub written: Written,
    /// Departed pods still reported as draining, with the start of their drain.
    pub leaving: BTreeMap<String, Timestamp>,
    /// Pods that became ready while requests waited for the first replica.
    pub arrived: Vec<Arrival>,
    /// Number of ready balancers; `None` if Plimsoll runs none.
    pub balancers: Option<i32>,
    /// Handling of outliers; `None` without `spec.recovery`.
    pub recovery: Option<Recovery>,
}

impl Done {
    /// The steps of the decision. A last step that changes the replicas becomes `ScaleFailed` if the write failed.
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

/// Whether a step changes the replicas.
#[must_use]
pub fn is_a_change(step: DecisionCode) -> bool {
    matches!(step, DecisionCode::ScaledUp | DecisionCode::ScaledDown)
}

/// Result of the write of the replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// There was nothing to write, or the change was already reported.
    #[default]
    Nothing,
    /// The replicas were changed.
    Changed,
    /// This process does not lead.
    NotLeading,
    /// Another client changed the target between the read and the write; the text is a sentence.
    Conflict(String),
    /// The write failed; the text is a sentence.
    Failed(String),
}

impl Written {
    /// Why a change was not written.
    #[must_use]
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Nothing | Self::Changed => None,
            Self::NotLeading => Some("this process does not lead"),
            Self::Conflict(why) | Self::Failed(why) => Some(why),
        }
    }
}
