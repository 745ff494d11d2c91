//! What failover means for the replicas: a standby is raised for the requests of others, and the primary for those that
//! come back to it.

use super::{Asked, step::Step};
use plimsoll_api::DecisionReason;

/// Raises to what failover needs; returns what the service needs for its own requests.
///
/// Once requests of others arrive, the KPIs count them too: what they ask for is added to what was needed before.
pub(super) fn raise(
    step: &mut Step,
    Asked { replicas: asked, arrived }: Asked,
    returning: i32,
    own_before: &mut Option<i32>,
) -> i32 {
    let mut own = step.replicas;
    if asked > 0 {
        // Who begins in the middle of it, after a restart, finds those that have arrived in its first proposal.
        own = *own_before.get_or_insert((own - arrived).max(0));
        step.at_least(own.saturating_add(asked), || DecisionReason::StandbyFloor { asked });
    } else {
        *own_before = None;
    }
    step.at_least(returning, || DecisionReason::ReturnFloor);
    own
}
