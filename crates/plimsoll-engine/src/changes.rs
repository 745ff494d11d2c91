//! The changes of a target's replicas, for what depends on how they came about.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// Longest period of a rate policy (autoscaling/v2: 1800 s): older changes are forgotten.
const KEPT: SignedDuration = SignedDuration::from_secs(1800);
/// More changes than this within [`KEPT`] do not happen: one look a second at most.
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
    /// Since when the replicas are known from the changes; `None` for as long as these reach.
    pub known_since: Option<Timestamp>,
}

impl Changes {
    /// Those of status, in any order.
    pub fn recorded(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut changes: VecDeque<Change> = changes.into_iter().collect();
        changes.make_contiguous().sort_by_key(|change| change.at);
        Self { changes, known_since: None }
    }

    /// Notes a change, and forgets those that are too old.
    pub fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        while self.changes.len() > MAX
            || self.changes.front().is_some_and(|old| change.at.duration_since(old.at) > KEPT)
        {
            self.changes.pop_front();
        }
    }

    /// Each change, the newest last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter()
    }

    /// The raises, the newest last.
    pub fn raises(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.iter().filter(|change| change.to > change.from)
    }

    /// The replicas at a time, where there are `now` of them now.
    pub fn replicas_at(&self, at: Timestamp, now: i32) -> i32 {
        self.iter().find(|change| change.at > at).map_or(now, |change| change.from)
    }

    /// Whether the replicas at a time are known.
    pub fn reach(&self, at: Timestamp) -> bool {
        self.known_since.is_none_or(|since| at >= since)
    }

    /// What was noted ahead of `now` counts as noted now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.changes.iter_mut().for_each(|change| change.at = change.at.min(now));
    }
}
