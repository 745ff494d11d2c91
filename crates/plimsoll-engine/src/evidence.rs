//! Grades a sample by the samples before it.

use jiff::{SignedDuration, Timestamp};

use super::{
    Sample, Value,
    recall::Recall,
    targets::{COMPLETE_SHARE, TargetsSeen, missing_targets},
};
use plimsoll_api::{Goal, KpiRule, KpiState};

/// A negative number is a rounding error if its magnitude is at most this share of the KPI's goal.
const NOTHING: f64 = 1e-6;

/// A graded sample.
pub(super) struct Graded {
    /// The sample with its final state: an empty answer may count as zero, one with missing targets as partial.
    pub sample: Sample,
    /// Share of the expected scrape targets that answered, above 0 and at most 1.
    pub share: f64,
    /// Whether it is fresh, but its range includes a time without fresh samples.
    pub gap: bool,
}

/// The graded sample of each KPI, in the order of the spec.
pub(super) type Evidence = Vec<Graded>;

/// Memory for grading the samples of one KPI.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EvidenceMemory {
    /// The normal number of scrape targets.
    pub targets: Option<TargetsSeen>,
    /// State of the query for the scrape targets of the past.
    pub recall: Recall,
    /// When the sample was last not fresh.
    doubted: Option<Timestamp>,
}

impl EvidenceMemory {
    /// Limits all times to `now`.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.doubted = self.doubted.map(|at| at.min(now));
        self.targets.iter_mut().for_each(|targets| targets.clock_set_back(now));
    }
}

/// Grades the sample of `rule` by the samples before it.
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
                sample.message = Some(format!("{targets} of {expected:.0} expected scrape targets answered"));
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
        None => return Sample::unusable(KpiState::Error, "there is no sample"),
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

/// Whether a number is a valid load.
pub(super) fn can_be_a_load(number: f64, per_replica: f64) -> bool {
    number.is_finite() && !is_negative(number, per_replica)
}

/// Whether a number is below zero by more than a rounding error of large sums; `goal` is the KPI's order of magnitude.
fn is_negative(number: f64, goal: f64) -> bool {
    number < -NOTHING * goal
}

/// Rejects negative loads and utilizations: they are measurement errors, not idleness.
///
/// From a value by pod, pods with a negative number are removed. A rejected single number stays in the sample for display.
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
