//! Recent changes of a target's replicas.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// Longest period of a rate policy (autoscaling/v2: 1800 s): older changes are forgotten.
const KEPT: SignedDuration = SignedDuration::from_secs(1800);
/// There are at most this many changes within [`KEPT`]: one turn per second.
const MAX: usize = 1800;

/// A change of the target's replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was written.
    pub at: Timestamp,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
}

/// The changes that were made, the newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Changes {
    changes: VecDeque<Change>,
    /// Before this time the replicas are unknown; `None` if the changes cover all of the past.
    pub known_since: Option<Timestamp>,
}

impl Changes {
    /// The changes from the status, in any order.
    pub fn recorded(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut changes: VecDeque<Change> = changes.into_iter().collect();
        changes.make_contiguous().sort_by_key(|change| change.at);
        Self { changes, known_since: None }
    }

    /// Adds a change and drops those that are too old.
    pub fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        while self.changes.len() > MAX
            || self.changes.front().is_some_and(|old| change.at.duration_since(old.at) > KEPT)
        {
            self.changes.pop_front();
        }
    }

    /// All changes, the newest last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter()
    }

    /// All scale-ups, the newest last.
    pub fn raises(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.iter().filter(|change| change.to > change.from)
    }

    /// The replicas at the time `at`, if there are `now` replicas now.
    pub fn replicas_at(&self, at: Timestamp, now: i32) -> i32 {
        self.iter().find(|change| change.at > at).map_or(now, |change| change.from)
    }

    /// Whether the replicas at the time `at` are known.
    pub fn reach(&self, at: Timestamp) -> bool {
        self.known_since.is_none_or(|since| at >= since)
    }

    /// Limits all times to `now`.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.changes.iter_mut().for_each(|change| change.at = change.at.min(now));
    }
}
