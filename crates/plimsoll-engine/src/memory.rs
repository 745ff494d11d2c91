//! The engine's state between turns: an explicit value that is rebuilt on start, never assumed.

mod kpi;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use self::kpi::{KpiMemory, Question};
use super::{
    Observation, Past, Recovery,
    burst::BurstHold,
    changes::{Change, Changes},
    failover::SignMemory,
    outliers::OutlierMemory,
    recall::{self, Recall},
    stabilize::Recommendations,
    zones::ZoneMemory,
};
use plimsoll_api::{KpiRule, KpiState};

/// The state of one service between turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Whether a decision was made with this memory; the first one never scales down.
    pub(super) looked: bool,
    /// Unstabilized proposals, for the stabilization windows.
    pub(super) recommendations: Recommendations,
    /// Whether the rebuilt recommendations include all past proposals.
    complete: bool,
    /// Applied changes, for the rate policies.
    pub(super) changes: Changes,
    /// The hold of a burst; no scale-down while it lasts.
    pub(super) burst: BurstHold,
    /// Memory of each KPI.
    pub(super) kpis: BTreeMap<String, KpiMemory>,
    /// Memory of outlier detection.
    pub(super) outliers: OutlierMemory,
    /// Memory of the signs of failure.
    pub(super) failover: SignMemory,
    /// The service's own need when it was first claimed as a standby.
    pub(super) standby_own: Option<i32>,
    /// Memory of lost zones.
    pub(super) zones: ZoneMemory,
}

impl Memory {
    /// The memory of a service that was scaled before this process started.
    ///
    /// `past` are its earlier proposals (see [`super::past_proposals`]), `changes` those of the status.
    #[must_use]
    pub fn rebuilt(past: Past, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut memory =
            Self { complete: past.complete, changes: Changes::recorded(changes), ..Self::default() };
        for (at, replicas) in past.proposals {
            memory.recommendations.record(at, replicas, SignedDuration::MAX);
        }
        memory
    }

    /// Records that the service was not evaluated for a while. The next turn then is like a first one: the current replicas
    /// count as recommended.
    pub fn interrupted(&mut self) {
        (self.looked, self.complete) = (false, false);
    }

    /// Whether all proposals of `window` are known, and one of them asked for at least `replicas`. If not, something else may
    /// have caused them: a KPI other than a Load, a schedule, a lost zone, held requests.
    pub(super) fn explains(&self, replicas: i32, window: SignedDuration, now: Timestamp) -> bool {
        let highest = self.recommendations.highest(window, now);
        self.complete
            && self.recommendations.covers(window, now)
            && highest.is_some_and(|highest| highest >= replicas)
    }

    /// Sets the time before which the target's replicas are unknown.
    #[must_use]
    pub fn known_since(mut self, at: Timestamp) -> Self {
        self.changes.known_since = Some(at);
        self
    }

    /// Records a change of the target's replicas. The caller does so after each successful write.
    pub fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Adjusts everything that is later than `now`: after a clock is set back, nothing may wait until it has caught up.
    pub(super) fn clock_set_back(&mut self, now: Timestamp) {
        self.recommendations.clock_set_back(now);
        self.changes.clock_set_back(now);
        self.burst.clock_set_back(now);
        self.kpis.values_mut().for_each(|kpi| kpi.clock_set_back(now));
        self.zones.clock_set_back(now);
    }

    /// Drops the memory of KPIs that were removed from the spec or whose query changed.
    pub(super) fn keep_only(&mut self, rules: &[KpiRule]) {
        self.kpis.retain(|kept, _| rules.iter().any(|rule| rule.name == *kept));
        let mut query_changed = false;
        for rule in rules {
            let kept = self.kpis.entry(rule.name.clone()).or_default();
            if !kept.question.as_ref().is_some_and(|question| question.is_of(rule)) {
                // A memory without a query was just filled by `recall` for this one.
                if kept.question.is_some() {
                    *kept = KpiMemory::default();
                }
                kept.question = Some(Question::of(rule));
                query_changed = true;
            }
        }
        if query_changed && self.looked {
            // The past proposals of the new query are not known.
            self.interrupted();
        }
    }

    /// The KPIs whose samples count scrape targets while the normal number is not known. Their history of [`super::RECALLED`]
    /// must be queried and passed to [`Self::recall`] before the next decision.
    #[must_use]
    pub fn unrecalled<'a>(
        &self,
        rules: &'a [KpiRule],
        seen: &Observation,
        now: Timestamp,
    ) -> Vec<&'a KpiRule> {
        let counted = |rule: &&KpiRule| {
            let sample = seen.samples.get(&rule.name);
            sample.is_some_and(|sample| sample.state == KpiState::Fresh && sample.targets.is_some())
        };
        let open =
            |rule: &&KpiRule| self.kpis.get(&rule.name).is_none_or(|kpi| kpi.evidence.recall.is_due(now));
        rules.iter().filter(counted).filter(open).collect()
    }

    /// Takes the past numbers of scrape targets of the KPI `name`, oldest first, or the error of the query. `replicas` is the
    /// target's current `spec.replicas`.
    pub fn recall(
        &mut self,
        name: &str,
        past: Result<&[(Timestamp, u32)], String>,
        replicas: i32,
        now: Timestamp,
    ) {
        let past = past.map(|past| {
            let pods = |at| f64::from(self.changes.replicas_at(at, replicas));
            let past = past.iter().filter(|(at, targets)| *targets > 0 && self.changes.reach(*at));
            past.map(|(at, targets)| (*at, f64::from(*targets), pods(*at))).collect::<Vec<_>>()
        });
        let kept = &mut self.kpis.entry(name.to_owned()).or_default().evidence;
        kept.recall = match past {
            Ok(past) => {
                kept.targets = recall::normal(&past).or(kept.targets);
                Recall::Done
            }
            Err(why) => kept.recall.failed(why, now),
        };
    }
}

impl Recovery {
    /// Records the eviction of a replica.
    pub fn evicted(&mut self, memory: &mut Memory, pod: &str, now: Timestamp) {
        self.was_evicted(&mut memory.outliers, pod, now);
    }

    /// Records a failed eviction. `refused` means that a disruption budget refused it.
    pub fn not_evicted(
        &mut self,
        memory: &mut Memory,
        pod: &str,
        refused: bool,
        message: &str,
        now: Timestamp,
    ) {
        self.was_not_evicted(&mut memory.outliers, pod, refused, message, now);
    }
}

#[cfg(test)]
mod tests;
