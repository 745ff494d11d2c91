//! Past proposals of the KPIs, computed for the memory of a process that has just started.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{evidence::can_be_a_load, proposal::replicas_for};
use plimsoll_api::{Goal, Validated};

/// Known proposals of the past, for [`super::Memory::rebuilt`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Proposals by time, oldest first.
    pub proposals: Vec<(Timestamp, i32)>,
    /// Whether no proposal is missing: every KPI is a Load, and its history has no gaps.
    pub complete: bool,
}

/// The values of one KPI at the steps of a range query, oldest first, with the KPI's name.
pub type History = (String, Vec<(Timestamp, f64)>);

/// What the Load KPIs would have proposed at each time until `now`, for [`super::Memory::rebuilt`].
///
/// Only a Load proposes independently of the replicas at that time; a Utilization does not, and is left out.
#[must_use]
pub fn past_proposals(spec: &Validated, history: &[History], now: Timestamp) -> Past {
    let mut proposals = BTreeMap::<Timestamp, i32>::new();
    for rule in &spec.kpis {
        let Goal::PerReplica(per_replica) = rule.goal else { continue };
        let points = history.iter().filter(|(name, _)| *name == rule.name).flat_map(|(_, points)| points);
        for (at, value) in points.filter(|(_, value)| can_be_a_load(*value, per_replica)) {
            let wanted = replicas_for(value.max(0.0) / per_replica);
            let wanted = wanted.clamp(spec.min_replicas, spec.max_replicas);
            proposals.entry(*at).and_modify(|most| *most = wanted.max(*most)).or_insert(wanted);
        }
    }
    Past { complete: is_complete(spec, history, now), proposals: proposals.into_iter().collect() }
}

/// Whether every KPI is a Load whose values are known from the oldest point of all KPIs until `now`.
fn is_complete(spec: &Validated, history: &[History], now: Timestamp) -> bool {
    let points = |name: &str| history.iter().find(|(known, _)| known == name).map(|(_, points)| points);
    let Some(oldest) = history.iter().filter_map(|(_, points)| Some(points.first()?.0)).min() else {
        return false;
    };
    spec.kpis.iter().all(|rule| {
        let points = points(&rule.name).filter(|_| matches!(rule.goal, Goal::PerReplica(_)));
        points.is_some_and(|points| !has_gap(points, rule.goal.number(), oldest, now))
    })
}

/// Whether a step between `oldest` and `now` has no value. A range query leaves out the steps without a sample.
fn has_gap(points: &[(Timestamp, f64)], per_replica: f64, oldest: Timestamp, now: Timestamp) -> bool {
    let loads = || points.iter().filter(|(_, value)| can_be_a_load(*value, per_replica));
    let times = || loads().map(|(at, _)| *at);
    let between: Vec<_> = times().skip(1).zip(times()).map(|(later, at)| later.duration_since(at)).collect();
    let (Some(first), Some(last), Some(step)) = (times().next(), times().next_back(), between.iter().min())
    else {
        return true;
    };
    let ends = [first.duration_since(oldest), now.duration_since(last)];
    between.iter().chain(&ends).any(|time| *time >= step.saturating_mul(2))
}
