//! What a sample is worth in the light of the ones before it.

use jiff::{SignedDuration, Timestamp};

use super::{
    Sample, Value,
    recall::Recall,
    targets::{COMPLETE_SHARE, TargetsSeen, missing_targets},
};
use plimsoll_api::{Goal, KpiRule, KpiState};

/// Part of a KPI's goal below which a number is nothing.
const NOTHING: f64 = 1e-6;

/// What a sample is worth.
pub(super) struct Graded {
    /// The sample as the decision may use it: an empty answer that means zero is one, a halved one is partial.
    pub sample: Sample,
    /// Share of the expected targets that answered, above 0 and at most 1.
    pub share: f64,
    /// It is fresh, but reaches back into a time in which it was not.
    pub gap: bool,
}

/// What the sample of each KPI of the spec is worth, in the order of the spec.
pub(super) type Evidence = Vec<Graded>;

/// What is remembered of the samples of one KPI.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EvidenceMemory {
    /// Scrape targets that are behind a complete answer.
    pub targets: Option<TargetsSeen>,
    /// Whether it is known how many there were before this memory.
    pub recall: Recall,
    /// When its sample was last not fresh.
    doubted: Option<Timestamp>,
}

impl EvidenceMemory {
    /// What was noted ahead of `now` counts as noted now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.doubted = self.doubted.map(|at| at.min(now));
        self.targets.iter_mut().for_each(|targets| targets.clock_set_back(now));
    }
}

/// Judges the sample of `rule` by what is remembered of the ones before it.
pub(super) fn grade(
    rule: &KpiRule,
    sample: Option<&Sample>,
    memory: &mut EvidenceMemory,
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
        } else if let Some(expected) =
            missing_targets(&mut memory.targets, f64::from(targets), f64::from(pods), now)
        {
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
