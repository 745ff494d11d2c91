//! The proposal of one KPI.

use jiff::{SignedDuration, Timestamp};

use super::{Observation, Sample};
use plimsoll_api::{DecisionStep, Goal, KpiRule, KpiState, KpiStatus, Validated};

/// An evaluated KPI.
pub(super) struct Look {
    pub name: String,
    pub goal: Goal,
    pub state: KpiState,
    /// Proposed replicas; `None` without a proposal.
    pub proposal: Option<i32>,
    /// Why it forbids a scale-down; `None` if it does not.
    pub holds: Option<Hold>,
    /// Whether there is a burst.
    pub burst: bool,
    /// How far back the data behind its value reaches.
    pub reach: SignedDuration,
    pub reasons: Vec<DecisionStep>,
    pub status: KpiStatus,
}

/// Why a KPI forbids a scale-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Its sample is not fresh.
    NotFresh,
    /// Its objective is near or beyond its limit.
    Objective,
}

/// Input of a proposal.
pub(super) struct Seen<'a> {
    pub spec: &'a Validated,
    pub rule: &'a KpiRule,
    pub sample: &'a Sample,
    /// Share of the expected scrape targets that answered, at most 1.
    pub share: f64,
    pub observation: &'a Observation,
    pub now: Timestamp,
}

/// A proposal with its reasons, before it is put into a [`Look`].
#[derive(Default)]
pub(super) struct Proposal {
    pub replicas: Option<i32>,
    pub holds: Option<Hold>,
    pub burst: bool,
    pub reasons: Vec<DecisionStep>,
    /// The value that is compared with the goal.
    pub value: Option<f64>,
    /// The value as a ratio of its goal; 1 is the limit.
    pub used: Option<f64>,
}

/// Whether a ratio of a value to its target lies within the tolerances around 1.
pub(super) fn is_tolerated(ratio: f64, spec: &Validated) -> bool {
    ratio <= 1.0 + spec.scale_up.tolerance && ratio >= 1.0 - spec.scale_down.tolerance
}

/// The tolerances around a target.
pub(super) struct Tolerances {
    /// The tolerance on the side of the value, as a share of the target.
    pub nearest: f64,
    /// The lowest value within tolerance.
    pub least: f64,
    /// The highest value within tolerance.
    pub most: f64,
}

impl Tolerances {
    pub fn around(target: f64, value: f64, spec: &Validated) -> Self {
        let (up, down) = (spec.scale_up.tolerance, spec.scale_down.tolerance);
        Self {
            nearest: if value > target { up } else { down },
            least: target * (1.0 - down),
            most: target * (1.0 + up),
        }
    }
}

/// `ceil(ratio)` as replicas, without an extra replica for a rounding error of the division.
///
/// Saturates at `i32::MAX`. NaN does too: it results from finite numbers whose product or quotient overflowed an `f64`. Too
/// many replicas are cut by `maxReplicas`, while too few are an outage.
pub(super) fn replicas_for(ratio: f64) -> i32 {
    if ratio.is_nan() || ratio >= f64::from(i32::MAX) {
        return i32::MAX;
    }
    let whole = (ratio - ratio.abs() * 1e-9).ceil();
    // It is between 0 and i32::MAX, so nothing is truncated.
    #[allow(clippy::cast_possible_truncation)]
    let replicas = whole.clamp(0.0, f64::from(i32::MAX)) as i32;
    replicas
}
