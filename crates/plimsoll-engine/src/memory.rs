//! What a decision needs to know of the past: an explicit value, rebuilt on start and never assumed.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::{
    failover::SignMemory, objective::Breach, outliers::OutlierMemory, recall::Recall,
    stabilize::Recommendations, zones::ZoneMemory,
};
use plimsoll_api::{KpiRule, KpiType};

/// The past of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Whether a decision was made with this memory; the first one never scales down.
    pub(super) looked: bool,
    /// Unstabilised proposals, for the stabilisation windows.
    pub(super) recommendations: Recommendations,
    /// Whether the recommendations that were recovered are all that was proposed.
    complete: bool,
    /// Since when replicas are known from `changes`; `None` for as long as these reach.
    pub(super) known_since: Option<Timestamp>,
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

/// What is known of the proposals of the past, for [`Memory::rebuilt`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Proposals by time, oldest first.
    pub proposals: Vec<(Timestamp, i32)>,
    /// Whether they are all that the KPIs proposed: every KPI is a Load, and its history has no gaps.
    pub complete: bool,
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
    /// What it belongs to; `None` if nothing is remembered yet.
    pub question: Option<Question>,
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

/// What a KPI asks, and how the answer is read. What is remembered of another question says nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    source: String,
    query: String,
    type_: KpiType,
}

impl Question {
    fn is_of(&self, rule: &KpiRule) -> bool {
        self.query == rule.query && self.source == rule.source && self.type_ == rule.goal.kpi_type()
    }

    fn of(rule: &KpiRule) -> Self {
        Self { source: rule.source.clone(), query: rule.query.clone(), type_: rule.goal.kpi_type() }
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
    /// `past` are the proposals of the past (see [`super::past_proposals`]); `changes` those of status.
    #[must_use]
    pub fn rebuilt(past: Past, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut memory = Self { complete: past.complete, ..Self::default() };
        for (at, replicas) in past.proposals {
            memory.recommendations.record(at, replicas, SignedDuration::MAX);
        }
        memory.changes.extend(changes);
        memory.changes.make_contiguous().sort_by_key(|change| change.at);
        memory
    }

    /// Notes that the service was not looked at for a while. What happened meanwhile is not known, so the next look is like a
    /// first one: the replicas that there are count as recommended.
    pub fn interrupted(&mut self) {
        (self.looked, self.complete) = (false, false);
    }

    /// Whether all proposals of `window` are known, and one of them asked for `replicas`. If not, something else may have
    /// justified them: a KPI that is no Load, a schedule, a lost zone, requests that waited.
    pub(super) fn explains(&self, replicas: i32, window: SignedDuration, now: Timestamp) -> bool {
        let highest = self.recommendations.highest(window, now);
        self.complete
            && self.recommendations.covers(window, now)
            && highest.is_some_and(|highest| highest >= replicas)
    }

    /// Says since when the target's replicas are known from the changes.
    #[must_use]
    pub fn known_since(mut self, at: Timestamp) -> Self {
        self.known_since = Some(at);
        self
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

    /// Forgets KPIs that the spec no longer has, and those that ask something else by now.
    pub(super) fn keep_only(&mut self, rules: &[KpiRule]) {
        self.kpis.retain(|kept, _| rules.iter().any(|rule| rule.name == *kept));
        let mut asked_anew = false;
        for rule in rules {
            let kept = self.kpis.entry(rule.name.clone()).or_default();
            if !kept.question.as_ref().is_some_and(|question| question.is_of(rule)) {
                // One without a question was recalled just now, for this one.
                if kept.question.is_some() {
                    *kept = KpiMemory::default();
                }
                kept.question = Some(Question::of(rule));
                asked_anew = true;
            }
        }
        if asked_anew && self.looked {
            // What the new question would have proposed until now is not known.
            self.interrupted();
        }
    }
}
