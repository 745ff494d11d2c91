//! Load: a total, divided by what one replica carries (autoscaling/v2 `AverageValue`).

use super::{
    burst::Scrapes,
    proposal::{Proposal, Seen, is_tolerated, replicas_for, tolerated},
};
use plimsoll_api::{Reason, ReasonCode};

pub(super) fn propose(seen: &Seen<'_>, per_replica: f64, scrapes: &mut Scrapes) -> Proposal {
    let Some(value) = seen.sample.number() else { return Proposal::default() };
    let current = seen.observation.replicas;
    let name = &seen.rule.name;
    let capacity = per_replica * f64::from(current);
    let mut proposal = Proposal {
        value: Some(value),
        used: (current > 0).then(|| value / capacity).or((value > 0.0).then_some(f64::MAX)).or(Some(0.0)),
        ..Proposal::default()
    };
    let asks = |load: f64| {
        let ratio = load / capacity;
        if current > 0 && is_tolerated(ratio, seen.spec) {
            (ReasonCode::WithinTolerance, current)
        } else {
            (ReasonCode::LoadProposal, replicas_for(load / per_replica))
        }
    };
    let (mut code, mut wanted) = asks(value);
    // Targets that are missing are a reason to keep replicas, and none to add some.
    let estimate = (seen.share < 1.0 && wanted < current).then(|| value / seen.share);
    if let Some((estimated, needed)) = estimate.map(asks) {
        (code, wanted) = (estimated, needed.min(current));
    }
    let mut reason =
        Reason::new(code, current, wanted).about(name).with("value", value).with("perReplica", per_replica);
    if let Some(estimate) = estimate {
        reason = reason.with("estimate", estimate);
    }
    let newest = scrapes.burst(seen, value).map(|newest| (newest, asks(newest).1));
    if let Some((newest, needed)) = newest.filter(|(_, needed)| *needed > wanted) {
        let reason = Reason::new(ReasonCode::BurstProposal, current, needed).about(name);
        proposal
            .reasons
            .push(reason.with("value", newest).with("average", value).with("perReplica", per_replica));
        proposal.replicas = Some(needed);
        // Only a burst that there are not enough replicas for is a reason to keep them all for a while.
        proposal.burst = needed > current;
        return proposal;
    }
    proposal.reasons.push(match code {
        ReasonCode::WithinTolerance => tolerated(reason, value, capacity, seen.spec),
        _ => reason,
    });
    proposal.replicas = Some(wanted);
    proposal
}
