//! What the turn itself remembers of a service between two looks, beside its capabilities.

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

/// The past of one service in this process.
#[derive(Debug)]
pub struct Core {
    /// The engine's memory; `None` until the first look rebuilds it.
    pub memory: Option<Memory>,
    /// What failover remembers while nothing else is decided, since the target is refused.
    pub unscaled: Memory,
    /// When a decision was last made with it.
    pub decided: Option<Instant>,
    /// A change whose write failed. It may have taken place: the answer may have been lost.
    pub unanswered: Option<Change>,
    /// The target that the memory is of: its reference, and its UID if the API server tells.
    target: Option<(ScaleTargetRef, Option<String>)>,
    /// The target's scale as it was last read or written.
    pub scale: KnownScale,
    /// When to look at the KPIs next.
    pub due: Instant,
    /// What the watches showed in the last turn.
    pub signals: Signals,
    /// What came of the last look.
    pub last: Option<Outcome>,
    /// Scrapes behind the KPIs.
    pub scrapes: Scrapes,
    /// The last written status, and when this process wrote it.
    pub written: Option<(Arc<ScalableServiceStatus>, Option<Instant>)>,
    /// What is known of a status that could not be written.
    pub unwritten: Unwritten,
    /// Looks in a row that could not be carried out, conflicts included.
    pub failures: u32,
}

impl Core {
    /// Nothing is known yet; the first look is due at that time.
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

    /// The last written status: what balancers follow, whatever was decided since.
    pub fn last_written(&self) -> Option<&ScalableServiceStatus> {
        self.written.as_ref().map(|(status, _)| &**status)
    }

    /// The last decision and what became of it; `None` if the service was refused, or not looked at yet.
    pub fn done(&self) -> Option<&Done> {
        self.last.as_ref().and_then(Outcome::done)
    }

    /// The same, to be brought up to date.
    pub fn done_mut(&mut self) -> Option<&mut Done> {
        self.last.as_mut().and_then(Outcome::done_mut)
    }

    /// Begins a new memory if the target is another one than before: what the other target needed says nothing of this one.
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

    /// Forgets what was decided for a target that somebody else may take over meanwhile.
    pub fn forget_decisions(&mut self) {
        (self.memory, self.decided, self.unanswered) = (None, None, None);
    }

    /// Whether the last decision is older than `longest`, so that what happened since is not known, for example since the
    /// lease was lost or the target could not be read.
    pub fn is_interrupted(&self, longest: Duration) -> bool {
        self.decided.is_some_and(|at| at.elapsed() > longest)
    }
}
