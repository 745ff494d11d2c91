//! How many scrape targets are normal, for a process that did not see it itself: what a new process sees first may be what is
//! left of them.

use jiff::{SignedDuration, Timestamp};

use super::{
    evidence::{self, FEWER_ACCEPTED_AFTER, LASTED},
    memory::{Change, KpiMemory, Memory, TargetsSeen},
    observation::Observation,
};
use plimsoll_api::{KpiRule, KpiState};

/// How far back numbers of scrape targets are needed: for as long as fewer of them are missed, and the minute that shows how
/// many there were before.
pub const RECALLED: SignedDuration =
    SignedDuration::from_secs(FEWER_ACCEPTED_AFTER.as_secs() + LASTED.as_secs());
/// Part of that time in which a number of targets for each pod must have been reached to be normal. The surge of a rollout
/// is shorter, and so is the time in which pods that are gone are still scraped.
const NORMAL_PART: usize = 4;
/// Pause between two questions for the past, so that a source that has just recovered is not overloaded.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// After this many failed questions, which take 5 minutes at least, the current number of targets counts as normal.
const GIVEN_UP_AFTER: u32 = 30;

/// What became of the question how many scrape targets a KPI had.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Recall {
    /// It was not asked.
    #[default]
    Open,
    /// It was asked `times` times without an answer, most recently at `at`; `why` is the last error.
    Failed { times: u32, at: Timestamp, why: String },
    /// It is answered, or given up.
    Done,
}

impl Recall {
    /// Why it is not known how many targets are normal, if an answer is still expected.
    pub(super) fn doubt(&self) -> Option<String> {
        match self {
            Self::Failed { why, .. } => {
                Some(format!("how many scrape targets are normal is not known yet: {why}"))
            }
            Self::Open | Self::Done => None,
        }
    }

    /// Whether it is to be asked now.
    fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Self::Open => true,
            Self::Failed { at, .. } => !(SignedDuration::ZERO..RETRY).contains(&now.duration_since(*at)),
            Self::Done => false,
        }
    }

    fn failed(&self, why: String, now: Timestamp) -> Self {
        let times = match self {
            Self::Failed { times, .. } => times.saturating_add(1),
            Self::Open | Self::Done => 1,
        };
        if times >= GIVEN_UP_AFTER { Self::Done } else { Self::Failed { times, at: now, why } }
    }
}

impl Memory {
    /// The rules whose sample says how many scrape targets it is of, while it is not known how many are normal. What
    /// Prometheus knows of the past [`RECALLED`] has to be asked, and told by [`Self::recall`] before the next decision.
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
        let open = |rule: &&KpiRule| self.kpis.get(&rule.name).is_none_or(|kpi| kpi.recall.is_due(now));
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
            let pods = |at| f64::from(replicas_at(self.changes.iter(), replicas, at));
            let known = |at| self.known_since.is_none_or(|since| at >= since);
            let past = past.iter().filter(|(at, targets)| *targets > 0 && known(*at));
            past.map(|(at, targets)| (*at, f64::from(*targets), pods(*at))).collect::<Vec<_>>()
        });
        let kpi = self.kpis.entry(name.to_owned()).or_default();
        kpi.recall = match past {
            Ok(past) => {
                kpi.targets = normal(&past).or(kpi.targets);
                Recall::Done
            }
            Err(why) => kpi.recall.failed(why, now),
        };
    }
}

/// The replicas at a time, by the changes since; they are in order.
fn replicas_at<'a>(mut changes: impl Iterator<Item = &'a Change>, now: i32, at: Timestamp) -> i32 {
    changes.find(|change| change.at > at).map_or(now, |change| change.from)
}

/// What is normal by numbers of targets and pods at times in order; `None` if they are too few to tell.
fn normal(past: &[(Timestamp, f64, f64)]) -> Option<TargetsSeen> {
    let ((first, ..), (last, ..)) = (past.first()?, past.last()?);
    if last.duration_since(*first) < LASTED {
        return None;
    }
    let per_pod = |(_, targets, pods): &(Timestamp, f64, f64)| targets / pods.max(1.0);
    let mut reached: Vec<f64> = past.iter().map(per_pod).collect();
    reached.sort_by(|a, b| b.total_cmp(a));
    let normal = *reached.get(reached.len() / NORMAL_PART)?;
    // From the last time at which all were there, it goes on as if this process had looked.
    let complete = past.iter().rposition(|point| per_pod(point) >= normal)?;
    let (_, _, pods) = past.get(complete)?;
    let seen = TargetsSeen { per_pod: normal, pods: *pods, ..TargetsSeen::default() };
    let mut memory = KpiMemory { targets: Some(seen), ..KpiMemory::default() };
    for (at, targets, pods) in past.iter().skip(complete + 1) {
        evidence::missing_targets(&mut memory, *targets, *pods, *at);
    }
    memory.targets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds between two numbers of the past.
    const STEP: i64 = 30;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// Numbers of targets, each for so many minutes, the last until now.
    fn past(phases: &[(u32, i64)]) -> Vec<(Timestamp, u32)> {
        let mut targets: Vec<u32> = Vec::new();
        for (count, minutes) in phases {
            targets.extend(std::iter::repeat_n(*count, usize::try_from(minutes * 60 / STEP).unwrap()));
        }
        let ago =
            |index: usize| SignedDuration::from_secs(i64::try_from(targets.len() - index).unwrap() * STEP);
        targets.iter().enumerate().map(|(index, count)| (now() - ago(index), *count)).collect()
    }

    /// How many targets a process misses that begins now, of `targets` that answer with `pods` pods.
    fn missed(memory: &mut Memory, phases: &[(u32, i64)], targets: u32, pods: i32) -> Option<f64> {
        memory.recall("load", Ok(&past(phases)), pods, now());
        let kpi = memory.kpis.get_mut("load").unwrap();
        evidence::missing_targets(kpi, f64::from(targets), f64::from(pods), now())
    }

    fn missed_at_once(phases: &[(u32, i64)], targets: u32, pods: i32) -> Option<f64> {
        missed(&mut Memory::default(), phases, targets, pods)
    }

    #[test]
    fn a_hole_that_is_older_than_the_process_is_still_one() {
        assert_eq!(missed_at_once(&[(10, 61)], 10, 10), None);
        assert_eq!(missed_at_once(&[(10, 60), (5, 1)], 5, 10), Some(10.0));
        assert_eq!(missed_at_once(&[(10, 21), (5, 40)], 5, 10), Some(10.0));
        assert_eq!(missed_at_once(&[(5, 61)], 5, 10), None, "after an hour it is how things are");
    }

    #[test]
    fn what_is_normal_is_no_peak() {
        assert_eq!(missed_at_once(&[(10, 30), (13, 8), (10, 23)], 10, 10), None, "the surge of a rollout");
        assert_eq!(missed_at_once(&[(20, 10), (10, 51)], 10, 10), None, "twice the pods, for ten minutes");
        assert_eq!(missed_at_once(&[(1, 61)], 1, 10), None, "an exporter of its own");
        assert_eq!(missed_at_once(&[], 5, 10), None, "nothing is known");
        assert_eq!(missed_at_once(&[(10, 0), (10, 1)], 5, 10), None, "less than a minute tells nothing");
    }

    #[test]
    fn pods_that_came_and_went_meanwhile_are_no_hole() {
        let changed = |minutes: i64, from, to| {
            let at = now() - SignedDuration::from_mins(minutes);
            Memory::rebuilt(crate::Past::default(), [Change { at, from, to }])
        };
        let fewer = &[(10, 31), (5, 30)];
        assert_eq!(missed(&mut changed(30, 10, 5), fewer, 5, 5), None);
        assert_eq!(missed(&mut changed(30, 10, 5), fewer, 2, 5), Some(5.0));
        let more = &[(5, 31), (10, 30)];
        assert_eq!(missed(&mut changed(30, 5, 10), more, 10, 10), None);
        assert_eq!(missed(&mut changed(30, 5, 10), more, 5, 10), Some(10.0));
    }

    #[test]
    fn a_past_that_cannot_be_read_is_asked_for_again_and_given_up_after_five_minutes() {
        let (mut memory, failed) = (Memory::default(), || Err("source \"default\" is busy".to_owned()));
        memory.recall("load", failed(), 10, now());
        let doubt = |memory: &Memory| memory.kpis.get("load").unwrap().recall.doubt();
        let expected =
            "how many scrape targets are normal is not known yet: source \"default\" is busy".to_owned();
        assert_eq!(doubt(&memory), Some(expected.clone()));
        let at = |time: u32| now() + RETRY * i32::try_from(time).unwrap();
        for time in 1..GIVEN_UP_AFTER - 1 {
            memory.recall("load", failed(), 10, at(time));
        }
        assert_eq!(doubt(&memory), Some(expected));
        memory.recall("load", failed(), 10, at(GIVEN_UP_AFTER));
        assert_eq!(doubt(&memory), None);
    }
}
