//! A sample of a KPI and its quality.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use plimsoll_api::KpiState;

/// A sample of a KPI.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its quality.
    pub state: KpiState,
    /// The value, if there is one.
    pub value: Option<Value>,
    /// The value of the same query over the newest two scrapes (`irate` for `rate`), if the query has such a form.
    pub newest: Option<f64>,
    /// When Prometheus scraped the newest data behind the value.
    pub at: Option<Timestamp>,
    /// How far back the data behind the value reaches: the longest range of the query, 0 if it has none.
    pub reach: SignedDuration,
    /// Scrape targets behind the value, to detect missing ones.
    pub targets: Option<u32>,
    /// Requests behind the value.
    pub volume: Volume,
    /// An explanation of its state, as a sentence.
    pub message: Option<String>,
}

/// Number of requests behind a value, over the range of its query.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Volume {
    /// They are not counted, so the value is used as it is.
    #[default]
    Uncounted,
    /// Their number.
    Counted(Value),
    /// They could not be counted, with the reason.
    Unknown(String),
}

impl Volume {
    /// The sum of the requests of all series.
    #[must_use]
    pub fn total(&self) -> Option<f64> {
        match self {
            Self::Counted(Value::Single(count)) => Some(*count),
            Self::Counted(Value::ByPod(by_pod)) => Some(by_pod.values().sum()),
            Self::Uncounted | Self::Unknown(_) => None,
        }
    }
}

/// Times of the same sample may differ by this much between turns: they are corrected by a clock skew that is measured again
/// with each answer. Scrapes are further apart.
pub const SAME_SAMPLE: SignedDuration = SignedDuration::from_millis(200);
/// A sample that is older than the previous one comes from the other Prometheus of a pair. If it is older by more than this,
/// a clock was set back.
const SET_BACK: SignedDuration = SignedDuration::from_mins(1);

/// Whether a sample taken `at` is newer than the one of `before`, or a clock was set back in between.
fn is_new_sample(at: Timestamp, before: Option<Timestamp>) -> bool {
    let later = before.map(|before| at.duration_since(before));
    later.is_none_or(|later| later > SAME_SAMPLE || later < -SET_BACK)
}

/// Whether a sample taken `at` is new and its range of length `reach` does not overlap that of the sample `before`. An event
/// in both ranges would count twice.
pub(crate) fn is_apart(at: Timestamp, before: Option<Timestamp>, reach: SignedDuration) -> bool {
    let overlaps = |before| {
        let later = at.duration_since(before);
        later >= -SET_BACK && later < reach.saturating_sub(SAME_SAMPLE)
    };
    is_new_sample(at, before) && !before.is_some_and(overlaps)
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A scalar or a single series.
    Single(f64),
    /// One number per pod, by name.
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

    /// A sample that can't be used, with the reason.
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

    /// The value as one number. A value by pod is averaged, as for every Utilization.
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
    // The sum may overflow an f64 where the average does not.
    Some(if sum.is_finite() {
        sum / count
    } else {
        numbers.map(|number| number / count).sum::<f64>().clamp(f64::MIN, f64::MAX)
    })
}
