//! What failover means for the replicas: a standby is raised for the requests of others, and the primary for those that
//! come back to it.

use super::{Memory, Observation, step::Step};
use plimsoll_api::{Reason, ReasonCode};

/// What other services ask of this one as their standby, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Replicas.
    pub replicas: i32,
    /// Those of them whose requests it gets by now.
    pub arrived: i32,
}

/// Raises to what failover needs; returns what the service needs for its own requests.
///
/// Once requests of others arrive, the KPIs count them too: what they ask for is added to what was needed before.
pub(super) fn raise(step: &mut Step, seen: &Observation, returning: i32, memory: &mut Memory) -> i32 {
    let mut own = step.replicas;
    let Asked { replicas: asked, arrived } = seen.asked;
    if asked > 0 {
        // Who begins in the middle of it, after a restart, finds those that have arrived in its first proposal.
        own = *memory.standby_own.get_or_insert((own - arrived).max(0));
        step.at_least(own.saturating_add(asked), |from, to| {
            Reason::new(ReasonCode::StandbyFloor, from, to).with("asked", f64::from(asked))
        });
    } else {
        memory.standby_own = None;
    }
    step.at_least(returning, |from, to| Reason::new(ReasonCode::ReturnFloor, from, to));
    own
}
