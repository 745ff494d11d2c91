//! What a decision needs to know of the past: an explicit value, rebuilt on start and never assumed.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::{
    failover::SignMemory, objective::Breach, outliers::OutlierMemory, recall::Recall,
    stabilize::Recommendations, zones::ZoneMemory,
};
use crate::api::KpiRule;

/// The past of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Whether a decision was made with this memory; the first one never scales down.
    pub(super) looked: bool,
    /// Unstabilised proposals, for the stabilisation windows.
    pub(super) recommendations: Recommendations,
    /// Changes that were made, for the rate policies.
    pub(super) changes: VecDeque<Change>,
    /// No scale-down before this time: a burst was seen.
    pub(super) burst_until: Option<Timestamp>,
    /// What is remembered of each KPI.
    pub(super) kpis: BTreeMap<String, KpiMemory>,
    /// What is remembered of replicas that stand out.
    pub(super) outliers: OutlierMemory,
    /// What is remembered of the signs of failure.
    pub(super) failover: SignMemory,
    /// What this service needed itself when others first asked it to be their standby.
    pub(super) standby_own: Option<i32>,
    /// What is remembered of zones that were lost.
    pub(super) zones: ZoneMemory,
}

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

/// The past of one KPI.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KpiMemory {
    /// Scrape targets that are behind a complete answer.
    pub targets: Option<TargetsSeen>,
    /// Whether it is known how many there were before this memory.
    pub recall: Recall,
    /// When its sample was last not fresh.
    pub doubted: Option<Timestamp>,
    /// The newest values of the last scrapes, the newest last.
    pub newest: VecDeque<(Timestamp, f64)>,
    /// The breach of an Objective.
    pub breach: Option<Breach>,
}

impl KpiMemory {
    fn clock_set_back(&mut self, now: Timestamp) {
        self.doubted = self.doubted.map(|at| at.min(now));
        self.newest.retain(|(at, _)| *at <= now);
        self.targets.iter_mut().for_each(|targets| targets.clock_set_back(now));
        self.breach.iter_mut().for_each(|breach| breach.clock_set_back(now));
    }
}

/// How many scrape targets answer for each pod when none is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TargetsSeen {
    /// What is normal.
    pub per_pod: f64,
    /// Pods of the last complete answer; those that were added since are not expected yet.
    pub pods: f64,
    /// Since when it is believed, until it has lasted.
    pub new_since: Option<Timestamp>,
    /// Since when there are more, and the lowest number of that time.
    pub rising: Option<(f64, Timestamp)>,
    /// Since when some are missing, and whether so many that the answer is partial.
    pub missing: Option<(bool, Timestamp)>,
}

/// How long a burst keeps the replicas from falling after it was last seen (Knative's stable window).
pub(super) const BURST_HOLD: SignedDuration = SignedDuration::from_secs(60);
/// Longest period of a rate policy (autoscaling/v2: 1800 s): older changes are forgotten.
const CHANGES_KEPT: SignedDuration = SignedDuration::from_secs(1800);
/// More changes than this within [`CHANGES_KEPT`] do not happen: one look a second at most.
const CHANGES_MAX: usize = 1800;

impl Memory {
    /// A memory for a service that was scaled before this process looked at it.
    ///
    /// `proposals` are the proposals of the past, by time (see [`super::rebuild`]); `changes` those of status.
    #[must_use]
    pub fn rebuilt(
        proposals: impl IntoIterator<Item = (Timestamp, i32)>,
        changes: impl IntoIterator<Item = Change>,
    ) -> Self {
        let mut memory = Self::default();
        for (at, replicas) in proposals {
            memory.recommendations.record(at, replicas, SignedDuration::MAX);
        }
        memory.changes.extend(changes);
        memory.changes.make_contiguous().sort_by_key(|change| change.at);
        memory
    }

    /// Notes that the target's replicas were changed; the shell calls it after a successful write.
    pub fn changed(&mut self, change: Change) {
        self.changes.push_back(change);
        while self.changes.len() > CHANGES_MAX
            || self.changes.front().is_some_and(|old| change.at.duration_since(old.at) > CHANGES_KEPT)
        {
            self.changes.pop_front();
        }
    }

    /// What was noted ahead of `now` counts as noted now: a clock that was set back must not keep anything waiting until
    /// it has caught up.
    pub(super) fn clock_set_back(&mut self, now: Timestamp) {
        self.recommendations.clock_set_back(now);
        self.changes.iter_mut().for_each(|change| change.at = change.at.min(now));
        let burst_until = now.checked_add(BURST_HOLD).unwrap_or(Timestamp::MAX);
        self.burst_until = self.burst_until.map(|until| until.min(burst_until));
        self.kpis.values_mut().for_each(|kpi| kpi.clock_set_back(now));
        self.zones.clock_set_back(now);
    }

    /// Forgets KPIs that the spec no longer has.
    pub(super) fn keep_only(&mut self, rules: &[KpiRule]) {
        self.kpis.retain(|kept, _| rules.iter().any(|rule| rule.name == *kept));
    }
}
