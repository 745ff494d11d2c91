//! What failover means for the replicas: a standby is raised for the requests of others, and the primary for those that
//! come back to it.

use super::{Memory, Observation, step::Step};
use crate::api::{Reason, ReasonCode};

/// Raises to what failover needs; returns what the service needs for its own requests.
///
/// Once requests of others arrive, the KPIs count them too: what they ask for is added to what was needed before.
pub(super) fn raise(step: &mut Step, seen: &Observation, memory: &mut Memory) -> i32 {
    let mut own = step.replicas;
    if seen.asked > 0 {
        // A process that starts in the middle of it can't know; what is asked is in the proposal by then.
        let before = if memory.looked { own } else { own - seen.asked };
        own = *memory.standby_own.get_or_insert(before.max(0));
        step.at_least(own.saturating_add(seen.asked), |from, to| {
            Reason::new(ReasonCode::StandbyFloor, from, to).with("asked", f64::from(seen.asked))
        });
    } else {
        memory.standby_own = None;
    }
    step.at_least(seen.returning, |from, to| Reason::new(ReasonCode::ReturnFloor, from, to));
    own
}
