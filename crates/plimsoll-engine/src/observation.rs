//! What was seen: replicas, pods and samples, each with what it is worth.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Asked, Peers, Rotation, Standing, Topology};
use plimsoll_api::KpiState;

/// Everything that one decision is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Replicas that the target wants now (`spec.replicas`); surge pods of a rollout are not in it.
    pub replicas: i32,
    /// The target's pods.
    pub pods: Pods,
    /// Samples by the KPI's name; a KPI without one counts as `Error`.
    pub samples: BTreeMap<String, Sample>,
    /// Requests that wait at the load balancers because no replica is there to serve them.
    pub held: i32,
    /// The replicas as the load balancers have them; `None` without a balancer, or without a list of pods.
    pub rotation: Option<Rotation>,
    /// The replicas side by side; `None` without `spec.recovery`, or without a list of pods.
    pub peers: Option<Peers>,
    /// What is seen around a failover; `None` without `spec.failover`.
    pub standing: Option<Standing>,
    /// What the services ask whose standby this one is.
    pub asked: Asked,
    /// Where the replicas are; `None` without a list of pods.
    pub topology: Option<Topology>,
}

/// The pods of a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Pods {
    /// Only counts are known (`decide` reads them from a line).
    Counted {
        /// Pods that are ready.
        ready: i32,
    },
    /// Each pod is known.
    Listed(Vec<Pod>),
}

impl Default for Pods {
    fn default() -> Self {
        Self::Counted { ready: 0 }
    }
}

/// One pod that is not being deleted and did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name, as in the label `pod` of its series.
    pub name: String,
    /// Its condition Ready.
    pub ready: bool,
    /// Not ready and of the target's current revision: capacity to come.
    pub starting: bool,
}

impl Pods {
    /// Pods that are ready.
    #[must_use]
    pub fn ready(&self) -> i32 {
        match self {
            Self::Counted { ready } => *ready,
            Self::Listed(pods) => count(pods.iter().filter(|pod| pod.ready)),
        }
    }

    /// Pods at all, ready or not; where only counts are known, those that are ready.
    #[must_use]
    pub fn all(&self) -> i32 {
        match self {
            Self::Counted { ready } => *ready,
            Self::Listed(pods) => count(pods.iter()),
        }
    }

    /// Pods that are not ready, for `replicas` wanted: where only counts are known, those that are missing.
    #[must_use]
    pub fn unready(&self, replicas: i32) -> i32 {
        match self {
            Self::Counted { ready } => replicas.saturating_sub(*ready).max(0),
            Self::Listed(pods) => count(pods.iter().filter(|pod| !pod.ready)),
        }
    }

    /// Pods of the current revision that are not ready yet; for `replicas` wanted, those that are missing.
    #[must_use]
    pub fn starting(&self, replicas: i32) -> i32 {
        match self {
            Self::Counted { ready } => replicas.saturating_sub(*ready).max(0),
            Self::Listed(pods) => {
                count(pods.iter().filter(|pod| pod.starting)).max(replicas - count(pods.iter()))
            }
        }
    }
}

/// The average of finite numbers, finite itself; `None` without any.
pub(super) fn average(numbers: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = u32::try_from(numbers.clone().count()).ok().filter(|count| *count > 0).map(f64::from)?;
    let sum: f64 = numbers.clone().sum();
    // A sum may leave the range of an f64 where the average does not.
    Some(if sum.is_finite() {
        sum / count
    } else {
        numbers.map(|number| number / count).sum::<f64>().clamp(f64::MIN, f64::MAX)
    })
}

fn count<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

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
pub(super) fn is_apart(at: Timestamp, before: Option<Timestamp>, reach: SignedDuration) -> bool {
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
