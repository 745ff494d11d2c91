//! Load: a total, divided by the capacity of one replica (autoscaling/v2 `AverageValue`).

use super::{
    burst::Scrapes,
    proposal::{Proposal, Seen, Tolerances, is_tolerated, replicas_for},
};
use plimsoll_api::DecisionReason;

pub(super) fn propose(seen: &Seen<'_>, per_replica: f64, scrapes: &mut Scrapes) -> Proposal {
    let Some(value) = seen.sample.number() else { return Proposal::default() };
    let current = seen.observation.replicas;
    let capacity = per_replica * f64::from(current);
    let mut proposal = Proposal {
        value: Some(value),
        used: (current > 0).then(|| value / capacity).or((value > 0.0).then_some(f64::MAX)).or(Some(0.0)),
        ..Proposal::default()
    };
    // Whether a load is within tolerance of the current replicas, and the replicas that it needs.
    let needs = |load: f64| {
        let tolerated = current > 0 && is_tolerated(load / capacity, seen.spec);
        (tolerated, if tolerated { current } else { replicas_for(load / per_replica) })
    };
    let (mut tolerated, mut wanted) = needs(value);
    // Missing scrape targets can keep replicas, but never add any.
    let estimate = (seen.share < 1.0 && wanted < current).then(|| value / seen.share);
    if let Some((estimated, needed)) = estimate.map(needs) {
        (tolerated, wanted) = (estimated, needed.min(current));
    }
    let kpi = seen.rule.name.clone();
    let newest = scrapes.burst(seen, value).map(|newest| (newest, needs(newest).1));
    if let Some((newest, needed)) = newest.filter(|(_, needed)| *needed > wanted) {
        let reason = DecisionReason::BurstProposal { kpi, value: newest, average: value, per_replica };
        proposal.reasons.push(reason.step(current, needed));
        proposal.replicas = Some(needed);
        // Only a burst that exceeds the current replicas prevents a scale-down for a while.
        proposal.burst = needed > current;
        return proposal;
    }
    let reason = if tolerated {
        let Tolerances { nearest, least, most } = Tolerances::around(capacity, value, seen.spec);
        DecisionReason::WithinTolerance {
            kpi,
            value,
            estimate,
            target: capacity,
            tolerance: nearest,
            least,
            most,
            per_replica: Some(per_replica),
            pods: None,
        }
    } else {
        DecisionReason::LoadProposal { kpi, value, per_replica, estimate }
    };
    proposal.reasons.push(reason.step(current, wanted));
    proposal.replicas = Some(wanted);
    proposal
}
