//! What one KPI asks for.

use jiff::{SignedDuration, Timestamp};

use super::{Observation, Sample};
use plimsoll_api::{DecisionStep, Goal, KpiRule, KpiState, KpiStatus, Validated};

/// One KPI, seen and judged.
pub(super) struct Look {
    pub name: String,
    pub goal: Goal,
    pub state: KpiState,
    /// Replicas that it asks for; `None` if it can't tell or does not mind.
    pub proposal: Option<i32>,
    /// Why replicas must not fall because of it.
    pub holds: Option<Hold>,
    /// A burst was seen.
    pub burst: bool,
    /// How far back the samples behind it lie.
    pub reach: SignedDuration,
    pub reasons: Vec<DecisionStep>,
    pub status: KpiStatus,
}

/// Why a KPI keeps the replicas from falling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Its sample is not fresh.
    NotFresh,
    /// Its objective is near or beyond its limit.
    Objective,
}

/// What a proposal is made from.
pub(super) struct Seen<'a> {
    pub spec: &'a Validated,
    pub rule: &'a KpiRule,
    pub sample: &'a Sample,
    /// Share of the expected targets that answered, at most 1.
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
    /// The number that the limit is compared with.
    pub value: Option<f64>,
    /// How much of what is allowed is used, 1 being the limit.
    pub used: Option<f64>,
}

/// Whether a ratio of a value to its target lies within the tolerances around 1.
pub(super) fn is_tolerated(ratio: f64, spec: &Validated) -> bool {
    ratio <= 1.0 + spec.scale_up.tolerance && ratio >= 1.0 - spec.scale_down.tolerance
}

/// The tolerances around a target.
pub(super) struct Tolerances {
    /// The one on the side of the value, as a share of the target.
    pub nearest: f64,
    /// The least value within them.
    pub least: f64,
    /// The greatest value within them.
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

/// `ceil(ratio)` as replicas; a rounding error of the division is not a replica.
///
/// More than an `i32` holds is as many as it holds. So is what is not a number: it comes of finite numbers whose product
/// or quotient left the range of an `f64`, and too many replicas are cut by `maxReplicas`, while too few are an outage.
pub(super) fn replicas_for(ratio: f64) -> i32 {
    if ratio.is_nan() || ratio >= f64::from(i32::MAX) {
        return i32::MAX;
    }
    let whole = (ratio - ratio.abs() * 1e-9).ceil();
    // It lies between 0 and i32::MAX, so nothing is cut.
    #[allow(clippy::cast_possible_truncation)]
    let replicas = whole.clamp(0.0, f64::from(i32::MAX)) as i32;
    replicas
}
