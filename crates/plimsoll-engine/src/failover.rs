//! Failover: requests move to a standby when the primary fails, as fast as the standby can take them, and return step by step.
//!
//! The history is read from the status, so it survives a restart. Only the last samples of each sign and the start of the
//! current healthy period are kept in memory; they start from scratch.

mod decision;
mod departure;
mod routing;
mod signs;
mod standbys;
mod turn;

use std::borrow::Cow;

use jiff::Timestamp;

use self::{routing::RoutingState, turn::Turn};
use super::{FailoverInput, ManualOverride, Observation, evidence::Evidence};
use plimsoll_api::{PRIMARY, Validated};

pub use decision::FailoverDecision;
pub use departure::{Consent, Departure, Veto, alone};
pub(super) use signs::SignMemory;

/// Decides at `now` where requests go; `None` without `spec.failover`.
///
/// - The primary is left after `samples` bad ones of the last `of` samples of one sign. An unknown value is not a sample: it
///   moves requests neither away nor back.
/// - The standby is asked for the replicas first. While the primary serves some requests, only as many move as the standby
///   has ready replicas for. Once the primary serves none, all of them move.
/// - Requests return after `return.for` without a sign of failure, by the steps of `return.ramp`, each once the primary has
///   the replicas for it. A sign of failure moves them away again.
/// - A primary that has never been ready is not left. One that serves is left at most `maxSwitchesPerHour` times within an
///   hour, unless it fails during a return; one that serves nothing is always left. A return is not a switch and is never
///   limited. An annotation is always followed, and resets the count.
/// - The other services may veto a departure: because too many services leave by the same KPI, or because the standby would
///   send the requests in a circle. The decision is then repeated with the veto applied.
pub(super) fn decide(
    spec: &Validated,
    seen: &Observation,
    graded: &Evidence,
    memory: &mut SignMemory,
    now: Timestamp,
    consent: &mut Consent<'_>,
) -> Option<FailoverDecision> {
    let rules = spec.failover.as_ref()?;
    let mut input = Cow::Borrowed(seen.failover.as_ref()?);
    let mut routing = RoutingState::of(rules, &input, now);
    routing.acknowledged_override = routing
        .acknowledged_override
        .take()
        .filter(|name| input.manual_override == Some(ManualOverride::To(name.clone())));
    routing.expect(seen.pods.ready(), seen.replicas);
    let signs = memory.look(spec, rules, seen, graded, routing.expected, now);
    // Each veto rules out a standby, or a departure because of a KPI.
    for _ in 0..=rules.standbys.len() {
        let mut tried = memory.clone();
        let turn = Turn { spec, rules, seen, input: &input, signs: &signs, memory: &mut tried, now };
        let decision = turn.decide(routing.clone());
        match vetoed(&input, &decision, now, consent) {
            None => {
                *memory = tried;
                return Some(decision);
            }
            Some(veto) => follow(input.to_mut(), veto, &decision.status.active),
        }
    }
    let turn = Turn { spec, rules, seen, input: &input, signs: &signs, memory, now };
    Some(turn.decide(routing))
}

/// The veto against a departure from the primary; `None` if there is no departure, or if it is allowed.
fn vetoed(
    input: &FailoverInput,
    decision: &FailoverDecision,
    at: Timestamp,
    consent: &mut Consent<'_>,
) -> Option<Veto> {
    let was_here = input.last_written.as_ref().is_none_or(|last_written| last_written.active == PRIMARY);
    if !was_here || decision.status.active == PRIMARY {
        return None;
    }
    consent(Departure { to: &decision.status.active, sources: &decision.sources, at }).err()
}

/// Applies a veto against a departure to the standby `to`.
fn follow(input: &mut FailoverInput, Veto { correlated_failures, trouble }: Veto, to: &str) {
    input.correlated_failures = correlated_failures;
    if trouble.is_some() {
        let standbys = input.standbys.iter_mut().filter(|standby| standby.name == to);
        standbys.for_each(|standby| standby.trouble.clone_from(&trouble));
    }
}
