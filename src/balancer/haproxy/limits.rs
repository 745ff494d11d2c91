//! Limits of concurrent requests per server.

use super::seen::Seen;
use crate::balancer::{Standby, Wanted};

/// No limit in effect, for HAProxy 3.0 and newer: there a server without `maxconn` takes nothing from the queue of its
/// backend when it comes up.
const ANY: u32 = 100_000;
/// No limit, for older versions.
const UNLIMITED: u32 = 0;
/// Concurrent requests through the gate once a server is available; the agent's gate holds twice as many.
const PASSING: u32 = 32;

/// Limit of one replica.
pub(super) fn of_replica(wanted: &Wanted, seen: &Seen) -> u32 {
    wanted.connections_per_server().unwrap_or_else(|| any(seen))
}

/// Limit of one server of a standby.
pub(super) fn of_standby(wanted: &Wanted, standby: &Standby, seen: &Seen) -> u32 {
    wanted.connections_to(standby).unwrap_or_else(|| any(seen))
}

/// Limit of the gate: one request, which wakes the service. Requests that were queued for the gate itself, for example
/// by a hash, then pass as many at a time as one replica takes.
///
/// Closing the gate for a moment is no alternative: HAProxy 2.6 would send these requests to the available servers, but
/// 3.0 all at the same time to the gate.
pub(super) fn of_gate(wanted: &Wanted, passes: bool) -> u32 {
    if passes { wanted.connections_per_server().unwrap_or(PASSING).min(PASSING) } else { 1 }
}

fn any(seen: &Seen) -> u32 {
    let major = seen.version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= 3) { ANY } else { UNLIMITED }
}
