//! What one KPI asks for.

use jiff::{SignedDuration, Timestamp};

use super::{
    Observation,
    evidence::{Evidence, Graded},
    load,
    memory::Memory,
    objective,
    observation::Sample,
    utilization,
};
use plimsoll_api::{Goal, KpiRule, KpiState, KpiStatus, Reason, ReasonCode, Validated};

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
    pub reasons: Vec<Reason>,
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
    pub reasons: Vec<Reason>,
    /// The number that the limit is compared with.
    pub value: Option<f64>,
    /// How much of what is allowed is used, 1 being the limit.
    pub used: Option<f64>,
}

/// Looks at every KPI of the spec, in its order.
pub(super) fn look_at_kpis(
    spec: &Validated,
    seen: &Observation,
    graded: &Evidence,
    memory: &mut Memory,
    now: Timestamp,
) -> Vec<Look> {
    let graded = spec.kpis.iter().filter_map(|rule| Some((rule, graded.get(&rule.name)?)));
    graded.map(|(rule, graded)| look_at(spec, rule, seen, graded, memory, now)).collect()
}

fn look_at(
    spec: &Validated,
    rule: &KpiRule,
    seen: &Observation,
    Graded { sample, share, gap }: &Graded,
    memory: &mut Memory,
    now: Timestamp,
) -> Look {
    let Memory { kpis, changes, .. } = memory;
    let kept = kpis.entry(rule.name.clone()).or_default();
    let context = Seen { spec, rule, sample, share: *share, observation: seen, now };
    let mut proposal = match (sample.state, rule.goal) {
        (KpiState::Fresh | KpiState::Partial, Goal::PerReplica(per_replica)) => {
            load::propose(&context, per_replica, kept)
        }
        (KpiState::Fresh | KpiState::Partial, Goal::Average(target)) => {
            utilization::propose(&context, target)
        }
        (KpiState::Fresh | KpiState::Partial, Goal::AtMost(limit)) => {
            objective::propose(&context, limit, kept, changes)
        }
        (KpiState::Empty | KpiState::NaN, Goal::AtMost(_)) => {
            objective::without_value(&context, kept);
            Proposal::default()
        }
        _ => Proposal::default(),
    };
    if sample.state != KpiState::Fresh {
        proposal.holds = Some(Hold::NotFresh);
        proposal.reasons.insert(0, not_fresh(rule, sample, seen.replicas));
    } else if *gap {
        // The average is too low yet to tell a burst by; until its range is full nothing falls anyway.
        proposal.burst = false;
    }
    let status = KpiStatus {
        name: rule.name.clone(),
        type_: rule.goal.kpi_type(),
        state: sample.state,
        value: proposal.value.or_else(|| sample.number()).filter(|value| value.is_finite()),
        target: rule.goal.number(),
        used: proposal.used.filter(|used| used.is_finite()),
        proposal: proposal.replicas,
        sample_time: sample.at.map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
        message: sample.message.clone(),
    };
    Look {
        name: rule.name.clone(),
        goal: rule.goal,
        state: sample.state,
        proposal: proposal.replicas,
        holds: proposal.holds,
        burst: proposal.burst,
        reach: sample.reach,
        reasons: proposal.reasons,
        status,
    }
}

fn not_fresh(rule: &KpiRule, sample: &Sample, replicas: i32) -> Reason {
    let state: &'static str = sample.state.into();
    let why = sample.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    Reason::new(ReasonCode::KpiNotFresh, replicas, replicas)
        .about(&rule.name)
        .detailed(format!("{state}{why}"))
}

/// Whether a ratio of a value to its target lies within the tolerances around 1.
pub(super) fn is_tolerated(ratio: f64, spec: &Validated) -> bool {
    ratio <= 1.0 + spec.scale_up.tolerance && ratio >= 1.0 - spec.scale_down.tolerance
}

/// The numbers of a value that lies within the tolerances around its target.
pub(super) fn tolerated(reason: Reason, value: f64, target: f64, spec: &Validated) -> Reason {
    let (up, down) = (spec.scale_up.tolerance, spec.scale_down.tolerance);
    reason
        .with("target", target)
        .with("tolerance", if value > target { up } else { down })
        .with("least", target * (1.0 - down))
        .with("most", target * (1.0 + up))
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
