//! What a sample is worth in the light of the ones before it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Memory, Observation,
    memory::{KpiMemory, TargetsSeen},
    observation::{Sample, Value},
};
use plimsoll_api::{Goal, KpiRule, KpiState, Validated};

/// Below this share of the scrape targets that are to be expected, an answer is partial. Above it, a pod that restarts
/// is no outage: those that are missing are taken to carry what the others do.
const COMPLETE_SHARE: f64 = 0.8;
/// What a division may be off by is no target.
const ROUNDING: f64 = 1e-9;
/// Part of a KPI's goal below which a number is nothing.
const NOTHING: f64 = 1e-6;
/// What was seen for this time has lasted: longer than pods take to go and to be forgotten. More targets for each pod
/// count as what is normal then.
pub(super) const LASTED: SignedDuration = SignedDuration::from_secs(60);
/// After this time fewer targets than what had lasted count as what is normal.
pub(super) const FEWER_ACCEPTED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What a sample is worth.
pub(super) struct Graded {
    /// The sample as the decision may use it: an empty answer that means zero is one, a halved one is partial.
    pub sample: Sample,
    /// Share of the expected targets that answered, above 0 and at most 1.
    pub share: f64,
    /// It is fresh, but reaches back into a time in which it was not.
    pub gap: bool,
}

/// What the sample of each KPI of the spec is worth, by the KPI's name.
pub(super) type Evidence = BTreeMap<String, Graded>;

/// Grades the samples of all KPIs, once in a turn: each grade is remembered for the ones after it.
pub(super) fn graded(spec: &Validated, seen: &Observation, memory: &mut Memory, now: Timestamp) -> Evidence {
    memory.clock_set_back(now);
    memory.keep_only(&spec.kpis);
    let graded = spec.kpis.iter().map(|rule| {
        let kept = memory.kpis.entry(rule.name.clone()).or_default();
        let sample = seen.samples.get(&rule.name);
        (rule.name.clone(), grade(rule, sample, kept, seen.pods.all(), now))
    });
    graded.collect()
}

/// Judges the sample of `rule` by what is remembered of the ones before it.
fn grade(
    rule: &KpiRule,
    sample: Option<&Sample>,
    memory: &mut KpiMemory,
    pods: i32,
    now: Timestamp,
) -> Graded {
    let mut sample = state_of(rule, sample);
    let mut share = 1.0;
    if sample.state == KpiState::Fresh
        && let Some(targets) = sample.targets
    {
        if let Some(doubt) = memory.recall.doubt() {
            sample.state = KpiState::Partial;
            sample.message = Some(doubt);
        } else if let Some(expected) = missing_targets(memory, f64::from(targets), f64::from(pods), now) {
            share = f64::from(targets) / expected;
            if share < COMPLETE_SHARE {
                sample.state = KpiState::Partial;
                sample.message =
                    Some(format!("{targets} scrape targets answered, where {expected:.0} did before"));
            }
        }
    }
    if sample.state != KpiState::Fresh {
        memory.doubted = Some(now);
    }
    let gap = memory.doubted.is_some_and(|doubted| now.duration_since(doubted) < sample.reach);
    let gap = gap && sample.state == KpiState::Fresh;
    Graded { sample, share, gap }
}

fn state_of(rule: &KpiRule, sample: Option<&Sample>) -> Sample {
    let mut sample = match sample {
        None => return Sample::unusable(KpiState::Error, "no answer was observed"),
        Some(sample) => sample.clone(),
    };
    if sample.state == KpiState::Empty && rule.empty_is_zero {
        sample.state = KpiState::Fresh;
        sample.value = Some(Value::Single(0.0));
        sample.reach = SignedDuration::ZERO;
        sample.targets = None;
        sample.message = Some("empty answer counts as 0 (onEmpty: Zero)".into());
        return sample;
    }
    let finite = sample.number().is_none_or(f64::is_finite);
    if matches!(sample.state, KpiState::Fresh | KpiState::Partial) && !finite {
        return Sample { state: KpiState::NaN, value: None, ..sample };
    }
    if sample.state == KpiState::Fresh && sample.value.is_none() {
        return Sample::unusable(KpiState::Empty, "the answer has no value");
    }
    match sample.state {
        KpiState::Fresh | KpiState::Partial => without_negative(rule.goal, sample),
        _ => sample,
    }
}

/// Whether a number says how large a load is.
pub(super) fn can_be_a_load(number: f64, per_replica: f64) -> bool {
    number.is_finite() && !is_negative(number, per_replica)
}

/// Below zero by more than a difference of large sums may be off by; `goal` says how large a number of this KPI is.
fn is_negative(number: f64, goal: f64) -> bool {
    number < -NOTHING * goal
}

/// A load and a share of use can't be negative: such a number is a fault of what measured it, and no sign of idleness.
///
/// Of a value by pod, the pods whose number is negative have none. The number itself stays, to be shown.
fn without_negative(goal: Goal, mut sample: Sample) -> Sample {
    let what = match goal {
        Goal::PerReplica(_) => "a load",
        Goal::Average(_) => "a utilization",
        Goal::AtMost(_) => return sample,
    };
    let negative = match &mut sample.value {
        Some(Value::ByPod(by_pod)) => {
            let lowest = by_pod.values().copied().fold(0.0, f64::min);
            by_pod.retain(|_, number| !is_negative(*number, goal.number()));
            by_pod.values_mut().for_each(|number| *number = number.max(0.0));
            Some(lowest).filter(|_| by_pod.is_empty())
        }
        Some(Value::Single(number)) => Some(*number),
        None => None,
    };
    if let Some(number) = negative.filter(|number| is_negative(*number, goal.number())) {
        sample.state = KpiState::Error;
        sample.value = Some(Value::Single(number));
        sample.message = Some(format!("the answer is {number}, and {what} can't be negative"));
    } else if let Some(Value::Single(number)) = &mut sample.value {
        *number = number.max(0.0);
    }
    sample
}

/// The number of targets to be expected, if fewer answered.
///
/// The expectation shrinks with the pods and with nothing else: a target that is lost while its pod is still there
/// is a hole in the evidence, not a smaller load. It grows only with what lasted: pods that are on their way out are
/// scraped for a while after they stopped counting. So what the first look of all saw is believed at once, but no
/// longer than it could last itself.
pub(super) fn missing_targets(
    memory: &mut KpiMemory,
    targets: f64,
    pods: f64,
    now: Timestamp,
) -> Option<f64> {
    let per_pod = targets / pods.max(1.0);
    let first = TargetsSeen { per_pod, pods, new_since: Some(now), ..TargetsSeen::default() };
    let seen = memory.targets.get_or_insert(first);
    seen.pods = seen.pods.min(pods);
    if per_pod >= seen.per_pod {
        seen.pods = pods;
        seen.missing = None;
        seen.lasts(now);
        seen.grow(per_pod, now);
        return None;
    }
    seen.rising = None;
    let expected = seen.per_pod * seen.pods;
    let few = targets < expected * COMPLETE_SHARE;
    if !few {
        seen.lasts(now);
    }
    if targets >= expected * (1.0 - ROUNDING) {
        seen.missing = None;
        return None;
    }
    let since = seen.missing.filter(|(too, _)| *too == few).map_or(now, |(_, since)| since);
    seen.missing = Some((few, since));
    let patience = if seen.new_since.is_some() { LASTED } else { FEWER_ACCEPTED_AFTER };
    if now.duration_since(since) >= patience {
        *seen = first;
        return None;
    }
    Some(expected)
}

impl TargetsSeen {
    /// What was noted ahead of `now` counts as noted now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let rising = self.rising.as_mut().map(|(_, since)| since);
        let missing = self.missing.as_mut().map(|(_, since)| since);
        for at in self.new_since.as_mut().into_iter().chain(rising).chain(missing) {
            *at = now.min(*at);
        }
    }

    /// About as many targets as expected answered.
    fn lasts(&mut self, now: Timestamp) {
        self.new_since = self.new_since.filter(|since| now.duration_since(*since) < LASTED);
    }

    /// Takes a higher number of targets for each pod once it lasted: the lowest of that time.
    fn grow(&mut self, per_pod: f64, now: Timestamp) {
        let (lowest, since) = self.rising.unwrap_or((per_pod, now));
        let lowest = lowest.min(per_pod);
        self.rising = Some((lowest, since));
        if now.duration_since(since) >= LASTED {
            self.per_pod = lowest;
            self.rising = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{super::memory::KpiMemory, missing_targets};

    /// Targets and pods as they are seen for a while.
    struct Watch {
        memory: KpiMemory,
        now: Timestamp,
    }

    impl Watch {
        fn new() -> Self {
            Self { memory: KpiMemory::default(), now: Timestamp::from_second(1_000_000).unwrap() }
        }

        /// The last of `seconds` looks at the same numbers.
        fn look(&mut self, seconds: i64, targets: f64, pods: f64) -> Option<f64> {
            let mut missing = None;
            for _ in 0..seconds {
                self.now += SignedDuration::from_secs(1);
                missing = missing_targets(&mut self.memory, targets, pods, self.now);
            }
            missing
        }
    }

    #[test]
    fn half_of_the_targets_is_a_hole_for_an_hour_unless_the_pods_went_too() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(100, 10.0, 10.0), None);
        assert_eq!(watch.look(1, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.look(1, 7.0, 10.0), Some(10.0), "no creeping acceptance");
        assert_eq!(watch.look(1, 9.0, 10.0), Some(10.0), "one pod restarts");
        assert_eq!(watch.look(3600, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.look(2, 5.0, 10.0), None, "after an hour it is how things are");
    }

    #[test]
    fn one_of_ten_that_never_answers_is_how_things_are_after_an_hour() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(100, 10.0, 10.0), None);
        assert_eq!(watch.look(3600, 9.0, 10.0), Some(10.0));
        assert_eq!(watch.look(2, 9.0, 10.0), None);
    }

    #[test]
    fn what_only_the_first_looks_saw_is_believed_for_a_minute() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(1, 10.0, 10.0), None);
        assert_eq!(watch.look(60, 5.0, 10.0), Some(10.0), "a hole right after a start");
        assert_eq!(watch.look(1, 5.0, 10.0), None, "or five that were on their way out at the first look");
        assert_eq!(watch.look(61, 5.0, 10.0), None);
        assert_eq!(watch.look(61, 2.0, 10.0), Some(5.0), "which has lasted by now");
    }

    #[test]
    fn pods_that_come_and_go_are_no_hole() {
        let mut watch = Watch::new();
        watch.look(100, 10.0, 10.0);
        assert_eq!(watch.look(30, 10.0, 5.0), None, "on their way out they are still scraped");
        assert_eq!(watch.look(100, 5.0, 5.0), None);
        assert_eq!(watch.look(1, 2.0, 5.0), Some(5.0));
        assert_eq!(watch.look(30, 5.0, 10.0), None, "new ones are not scraped yet");
        assert_eq!(watch.look(1, 10.0, 10.0), None);
        assert_eq!(watch.look(1, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.look(10, 13.0, 13.0), None, "the surge of a rollout");
        assert_eq!(watch.look(1, 10.0, 10.0), None);
    }

    #[test]
    fn an_exporter_of_its_own_does_not_depend_on_the_pods() {
        let mut watch = Watch::new();
        for pods in [10.0, 3.0, 0.0, 8.0, 1.0] {
            assert_eq!(watch.look(100, 1.0, pods), None, "{pods}");
        }
        let mut watch = Watch::new();
        assert_eq!(watch.look(100, 4.0, 10.0), None);
        assert_eq!(watch.look(1, 2.0, 10.0), Some(4.0), "half of the balancers");
    }
}
