//! One KPI's answer, and what it is worth.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use plimsoll_api::KpiState;

/// One KPI's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What it is worth.
    pub state: KpiState,
    /// The answer, if it has one.
    pub value: Option<Value>,
    /// The same question over the newest two scrapes (`irate` for `rate`), where it can be asked.
    pub newest: Option<f64>,
    /// When Prometheus took the newest sample behind the answer.
    pub at: Option<Timestamp>,
    /// How far back the samples behind the answer lie: the longest range of the query, 0 if it has none.
    pub reach: SignedDuration,
    /// Scrape targets behind the answer, to notice when some go missing.
    pub targets: Option<u32>,
    /// Requests behind the answer.
    pub volume: Volume,
    /// What is wrong with it, in a sentence.
    pub message: Option<String>,
}

/// Requests behind an answer, over the range of its query.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Volume {
    /// Nothing counts them, so that the answer stands for itself.
    #[default]
    Uncounted,
    /// So many.
    Counted(Value),
    /// They are to be counted and could not be: why.
    Unknown(String),
}

impl Volume {
    /// The requests of all series together.
    #[must_use]
    pub fn total(&self) -> Option<f64> {
        match self {
            Self::Counted(Value::Single(count)) => Some(*count),
            Self::Counted(Value::ByPod(by_pod)) => Some(by_pod.values().sum()),
            Self::Uncounted | Self::Unknown(_) => None,
        }
    }
}

/// What the time of one and the same sample may differ by from one look to the next: it is reckoned by a skew between two
/// clocks that is measured anew with each answer. Scrapes are further apart.
pub const SAME_SAMPLE: SignedDuration = SignedDuration::from_millis(200);
/// A sample that is older than the one before it comes from another Prometheus of a pair, unless it is as old as this: then
/// a clock was set back.
const SET_BACK: SignedDuration = SignedDuration::from_mins(1);

/// Whether a sample taken `at` is another one than that of `before`, and a newer one.
fn is_new_sample(at: Timestamp, before: Option<Timestamp>) -> bool {
    let later = before.map(|before| at.duration_since(before));
    later.is_none_or(|later| later > SAME_SAMPLE || later < -SET_BACK)
}

/// Whether the range of a sample taken `at` begins where the one `before` ended, or later: else the same event may be in
/// both, and would count twice. `reach` is the length of the range.
pub(crate) fn is_apart(at: Timestamp, before: Option<Timestamp>, reach: SignedDuration) -> bool {
    let overlaps = |before| {
        let later = at.duration_since(before);
        later >= -SET_BACK && later < reach.saturating_sub(SAME_SAMPLE)
    };
    is_new_sample(at, before) && !before.is_some_and(overlaps)
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A scalar or a single series.
    Single(f64),
    /// One number for each pod, by name.
    ByPod(BTreeMap<String, f64>),
}

impl Sample {
    /// A complete sample taken at `at`.
    #[must_use]
    pub fn fresh(value: f64, at: Timestamp) -> Self {
        Self {
            state: KpiState::Fresh,
            value: Some(Value::Single(value)),
            newest: None,
            at: Some(at),
            reach: SignedDuration::ZERO,
            targets: None,
            volume: Volume::Uncounted,
            message: None,
        }
    }

    /// A sample that can't be used, and why.
    #[must_use]
    pub fn unusable(state: KpiState, message: impl Into<String>) -> Self {
        Self {
            state,
            value: None,
            newest: None,
            at: None,
            reach: SignedDuration::ZERO,
            targets: None,
            volume: Volume::Uncounted,
            message: Some(message.into()),
        }
    }

    /// The answer as one number: itself, or the average over the pods, as of every Utilization.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self.value.as_ref()? {
            Value::Single(number) => Some(*number),
            Value::ByPod(by_pod) => average(by_pod.values().copied()),
        }
    }
}

/// The average of finite numbers, finite itself; `None` without any.
pub(crate) fn average(numbers: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = u32::try_from(numbers.clone().count()).ok().filter(|count| *count > 0).map(f64::from)?;
    let sum: f64 = numbers.clone().sum();
    // A sum may leave the range of an f64 where the average does not.
    Some(if sum.is_finite() {
        sum / count
    } else {
        numbers.map(|number| number / count).sum::<f64>().clamp(f64::MIN, f64::MAX)
    })
}
