//! Failover: requests move to a standby when the primary fails, as fast as the standby can take them, and come back step
//! by step.
//!
//! The history is read from the status, so it survives a restart. Only the last samples of each sign, and the time since which
//! all is well, are kept in memory and begin anew.

mod course;
mod departure;
mod shift;
mod signs;
mod standbys;
mod turn;

use std::borrow::Cow;

use jiff::Timestamp;

use self::{course::Course, turn::Turn};
use super::{Observation, Order, Standing, evidence::Evidence};
use plimsoll_api::{PRIMARY, Validated};

pub use departure::{Consent, Departure, Veto, alone};
pub use shift::Shift;
pub(super) use signs::SignMemory;

/// Decides at `now` where requests go; `None` without `spec.failover`.
///
/// - The primary is left on `samples` bad ones of the last `of` samples of one sign. What is unknown is no sample: it
///   neither moves requests away nor back.
/// - The standby is asked for the replicas first. While the primary still serves some requests, no more move than the
///   standby has replicas ready for; once it serves none, all of them do.
/// - They come back after `return.for` without a sign of failure, by the steps of `return.ramp`, each once the primary has
///   the replicas for it. A sign of failure takes them away again.
/// - A primary that has never been ready is not left. One that serves is not left more than `maxSwitchesPerHour` times within
///   an hour, unless it fails while requests come back; one that serves nothing is left in any case. A return is no
///   switch and never limited. An annotation is always followed, and starts the count anew.
/// - The other services may veto a departure: because of a KPI that too many services leave by, or of a standby that would send the
///   requests in a circle. Then it is decided anew with what the veto says.
pub(super) fn decide(
    spec: &Validated,
    seen: &Observation,
    graded: &Evidence,
    memory: &mut SignMemory,
    now: Timestamp,
    consent: &mut Consent<'_>,
) -> Option<Shift> {
    let rules = spec.failover.as_ref()?;
    let mut standing = Cow::Borrowed(seen.standing.as_ref()?);
    let mut course = Course::of(rules, &standing, now);
    course.obeyed = course.obeyed.take().filter(|name| standing.order == Some(Order::To(name.clone())));
    course.expect(seen.pods.ready(), seen.replicas);
    let signs = memory.look(spec, rules, seen, graded, course.expected, now);
    // Each veto takes away a standby, or the right to leave because of a KPI.
    for _ in 0..=rules.standbys.len() {
        let mut tried = memory.clone();
        let turn = Turn { spec, rules, seen, standing: &standing, signs: &signs, memory: &mut tried, now };
        let shift = turn.shift(course.clone());
        match vetoed(&standing, &shift, now, consent) {
            None => {
                *memory = tried;
                return Some(shift);
            }
            Some(veto) => follow(standing.to_mut(), veto, &shift.status.active),
        }
    }
    let turn = Turn { spec, rules, seen, standing: &standing, signs: &signs, memory, now };
    Some(turn.shift(course))
}

/// The veto against a departure from the primary; `None` if there is no departure, or if it is granted.
fn vetoed(standing: &Standing, shift: &Shift, at: Timestamp, consent: &mut Consent<'_>) -> Option<Veto> {
    let was_here = standing.told.as_ref().is_none_or(|told| told.active == PRIMARY);
    if !was_here || shift.status.active == PRIMARY {
        return None;
    }
    consent(Departure { to: &shift.status.active, sources: &shift.sources, at }).err()
}

/// Takes over what a veto against a departure to the standby `to` says.
fn follow(standing: &mut Standing, Veto { crowded, trouble }: Veto, to: &str) {
    standing.crowded = crowded;
    if trouble.is_some() {
        let standbys = standing.standbys.iter_mut().filter(|standby| standby.name == to);
        standbys.for_each(|standby| standby.trouble.clone_from(&trouble));
    }
}
