//! The proposals of all KPIs.

use jiff::Timestamp;

use super::{
    Memory, Observation, Sample,
    evidence::{Evidence, Graded},
    load, objective,
    proposal::{Hold, Look, Proposal, Seen},
    utilization,
};
use plimsoll_api::{DecisionReason, DecisionStep, Goal, KpiRule, KpiState, KpiStatus, Validated};

/// Evaluates every KPI, in the order of the spec.
pub(super) fn look_at_kpis(
    spec: &Validated,
    seen: &Observation,
    graded: &Evidence,
    memory: &mut Memory,
    now: Timestamp,
) -> Vec<Look> {
    spec.kpis
        .iter()
        .zip(graded)
        .map(|(rule, graded)| look_at(spec, rule, seen, graded, memory, now))
        .collect()
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
            load::propose(&context, per_replica, &mut kept.scrapes)
        }
        (KpiState::Fresh | KpiState::Partial, Goal::Average(target)) => {
            utilization::propose(&context, target)
        }
        (KpiState::Fresh | KpiState::Partial, Goal::AtMost(limit)) => {
            objective::propose(&context, limit, &mut kept.breach, changes)
        }
        (KpiState::Empty | KpiState::NaN, Goal::AtMost(_)) => {
            objective::without_value(&context, &mut kept.breach);
            Proposal::default()
        }
        _ => Proposal::default(),
    };
    if sample.state != KpiState::Fresh {
        proposal.holds = Some(Hold::NotFresh);
        proposal.reasons.insert(0, not_fresh(rule, sample, seen.replicas));
    } else if *gap {
        // The average is still too low to detect a burst. Until its range is full there is no scale-down anyway.
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

fn not_fresh(rule: &KpiRule, sample: &Sample, replicas: i32) -> DecisionStep {
    let state: &'static str = sample.state.into();
    let why = sample.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    DecisionReason::KpiNotFresh { kpi: rule.name.clone(), why: format!("{state}{why}") }
        .step(replicas, replicas)
}
