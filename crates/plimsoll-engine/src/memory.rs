//! What a decision needs to know of the past: an explicit value, rebuilt on start and never assumed.

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

/// The past of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Whether a decision was made with this memory; the first one never scales down.
    pub(super) looked: bool,
    /// Unstabilised proposals, for the stabilisation windows.
    pub(super) recommendations: Recommendations,
    /// Whether the recommendations that were recovered are all that was proposed.
    complete: bool,
    /// Changes that were made, for the rate policies.
    pub(super) changes: Changes,
    /// No scale-down while it lasts: a burst was seen.
    pub(super) burst: BurstHold,
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

impl Memory {
    /// A memory for a service that was scaled before this process looked at it.
    ///
    /// `past` are the proposals of the past (see [`super::past_proposals`]); `changes` those of status.
    #[must_use]
    pub fn rebuilt(past: Past, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut memory =
            Self { complete: past.complete, changes: Changes::recorded(changes), ..Self::default() };
        for (at, replicas) in past.proposals {
            memory.recommendations.record(at, replicas, SignedDuration::MAX);
        }
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
        self.changes.known_since = Some(at);
        self
    }

    /// Notes that the target's replicas were changed; the shell calls it after a successful write.
    pub fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// What was noted ahead of `now` counts as noted now: a clock that was set back must not keep anything waiting until
    /// it has caught up.
    pub(super) fn clock_set_back(&mut self, now: Timestamp) {
        self.recommendations.clock_set_back(now);
        self.changes.clock_set_back(now);
        self.burst.clock_set_back(now);
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

    /// The rules whose sample says how many scrape targets it is of, while it is not known how many are normal. What
    /// Prometheus knows of the past [`super::RECALLED`] has to be asked, and told by [`Self::recall`] before the next decision.
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

    /// Takes how many scrape targets the KPI `name` had, oldest first, or why that can't be read. `replicas` are those that
    /// the target wants now.
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
    /// Notes that the replica was evicted.
    pub fn evicted(&mut self, memory: &mut Memory, pod: &str, now: Timestamp) {
        self.was_evicted(&mut memory.outliers, pod, now);
    }

    /// Notes that the replica was not evicted: a budget `refused` it, or it failed.
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
