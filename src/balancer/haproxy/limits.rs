//! How many requests a server gets at a time.

use super::seen::Seen;
use crate::balancer::{Standby, Wanted};

/// Any number, for HAProxy 3.0 and newer: there a server without `maxconn` that comes up takes nothing out of the queue
/// of its backend.
const ANY: u32 = 100_000;
/// The same for older ones.
const UNLIMITED: u32 = 0;
/// Requests that pass the gate at a time once somebody serves; the agent's gate holds twice as many.
const PASSING: u32 = 32;

/// Of one replica.
pub(super) fn of_replica(wanted: &Wanted, seen: &Seen) -> u32 {
    wanted.connections_per_server().unwrap_or_else(|| any(seen))
}

/// Of a standby.
pub(super) fn of_standby(wanted: &Wanted, standby: &Standby, seen: &Seen) -> u32 {
    wanted.connections_to(standby).unwrap_or_else(|| any(seen))
}

/// Of the gate: one that wakes the service, and as many as a replica takes for those that have waited for the gate
/// itself, as by a hash.
///
/// To close the gate for a moment would send these on to who serves with HAProxy 2.6, and all at once to the gate
/// with 3.0.
pub(super) fn of_gate(wanted: &Wanted, passes: bool) -> u32 {
    if passes { wanted.connections_per_server().unwrap_or(PASSING).min(PASSING) } else { 1 }
}

fn any(seen: &Seen) -> u32 {
    let major = seen.version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= 3) { ANY } else { UNLIMITED }
}
