//! The state of a service between two turns, except for that of its capabilities.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    align::Scrapes,
    index::Target,
    known_scale::KnownScale,
    outcome::{Done, Outcome},
    signals::Signals,
    unwritten::Unwritten,
};
use plimsoll_api::{ScalableService, ScalableServiceStatus, ScaleTargetRef};
use plimsoll_engine::{Change, Memory};

/// The state of one service in this process.
#[derive(Debug)]
pub struct Core {
    /// The engine's memory; `None` until the first evaluation rebuilds it.
    pub memory: Option<Memory>,
    /// The memory of failover while the target is refused and nothing else is decided.
    pub unscaled: Memory,
    /// Time of the last decision.
    pub decided: Option<Instant>,
    /// A change whose write failed. It may have taken effect: the answer may have been lost.
    pub unanswered: Option<Change>,
    /// The target that the memory belongs to: its reference, and its UID if known.
    target: Option<(ScaleTargetRef, Option<String>)>,
    /// The target's scale as it was last read or written.
    pub scale: KnownScale,
    /// When the next evaluation is due.
    pub due: Instant,
    /// The signals of the last turn.
    pub signals: Signals,
    /// The outcome of the last evaluation.
    pub last: Option<Outcome>,
    /// Scrapes behind the KPIs.
    pub scrapes: Scrapes,
    /// The last written status, and when this process wrote it, if it did.
    pub written: Option<(Arc<ScalableServiceStatus>, Option<Instant>)>,
    /// Retry state of a status that could not be written.
    pub unwritten: Unwritten,
    /// Failed writes of the replicas in a row, conflicts included.
    pub failures: u32,
}

impl Core {
    /// An empty state whose first evaluation is due at `due`.
    pub fn due_at(due: Instant) -> Self {
        Self {
            memory: None,
            unscaled: Memory::default(),
            decided: None,
            unanswered: None,
            target: None,
            scale: KnownScale::default(),
            due,
            signals: Signals::default(),
            last: None,
            scrapes: Scrapes::default(),
            written: None,
            unwritten: Unwritten::default(),
            failures: 0,
        }
    }

    /// The last written status. Balancers follow it, not later decisions.
    pub fn last_written(&self) -> Option<&ScalableServiceStatus> {
        self.written.as_ref().map(|(status, _)| &**status)
    }

    /// The last decision and its progress; `None` if the service was refused or not evaluated yet.
    pub fn done(&self) -> Option<&Done> {
        self.last.as_ref().and_then(Outcome::done)
    }

    /// Mutable access to [`Self::done`].
    pub fn done_mut(&mut self) -> Option<&mut Done> {
        self.last.as_mut().and_then(Outcome::done_mut)
    }

    /// Starts a new memory if the target is a different object: the history of the old one does not apply.
    pub fn follow_target(&mut self, service: &ScalableService, target: &Target, now: jiff::Timestamp) {
        let is = Some((service.spec.scale_target_ref.clone(), target.uid.clone()));
        if self.target == is {
            return;
        }
        if self.target.is_some() {
            (self.memory, self.unanswered) = (Some(Memory::default().known_since(now)), None);
        }
        self.target = is;
    }

    /// Discards the decisions for a target that another scaler may control in the meantime.
    pub fn forget_decisions(&mut self) {
        (self.memory, self.decided, self.unanswered) = (None, None, None);
    }

    /// Whether the last decision is older than `longest`, for example after the lease was lost or the target could not be
    /// read. Events since then are unknown.
    pub fn is_interrupted(&self, longest: Duration) -> bool {
        self.decided.is_some_and(|at| at.elapsed() > longest)
    }
}
