//! Replicas for failover: a standby is scaled up for the requests of other services, a primary for the requests
//! that move back to it.

use super::{Asked, step::Step};
use plimsoll_api::DecisionReason;

/// Raises the replicas to what failover needs. Returns the replicas that the service needs for its own requests.
///
/// Once requests of other services arrive, the KPIs include them. Their claim is therefore added to the service's own need
/// from before.
pub(super) fn raise(
    step: &mut Step,
    Asked { replicas: asked, arrived }: Asked,
    returning: i32,
    own_before: &mut Option<i32>,
) -> i32 {
    let mut own = step.replicas;
    if asked > 0 {
        // After a restart during a failover, the first proposal includes the requests that have arrived.
        own = *own_before.get_or_insert((own - arrived).max(0));
        step.at_least(own.saturating_add(asked), || DecisionReason::StandbyFloor { asked });
    } else {
        *own_before = None;
    }
    step.at_least(returning, || DecisionReason::ReturnFloor);
    own
}
