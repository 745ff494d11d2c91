//! Failover: requests move to a standby when the primary fails, as fast as the standby can take them, and come back step
//! by step.
//!
//! Its past is what status says, so it survives a restart of whoever calls it; in memory there are only the last samples
//! of each sign, and since when all is well, which begin anew.

mod course;
mod signs;
mod standbys;
mod turn;

use std::{collections::BTreeSet, net::SocketAddr};

use jiff::{SignedDuration, Timestamp};

use self::{course::Course, turn::Turn};
use super::{Memory, Observation, evidence::Evidence, turn::Fleet};
use plimsoll_api::{FailoverStatus, PRIMARY, Reason, Validated};

pub(super) use signs::SignMemory;

/// What is seen around a failover, besides the service itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// What was done before, as status tells.
    pub told: Option<FailoverStatus>,
    /// The standbys in the order of the spec; one that is not here is not known.
    pub standbys: Vec<StandbySeen>,
    /// What a person said.
    pub order: Option<Order>,
    /// Sources by whose KPIs so many services left their primaries within a minute that one of them may be wrong.
    pub crowded: BTreeSet<String>,
}

/// One standby.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandbySeen {
    /// Its name in the spec.
    pub name: String,
    /// Its addresses; empty as long as they are not known.
    pub addresses: Vec<SocketAddr>,
    /// Why it would take no request, in a sentence.
    pub trouble: Option<String>,
    /// What its ScalableService has; `None` if nothing scales it.
    pub capacity: Option<Capacity>,
}

/// The replicas of a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Those that are ready.
    pub ready: i32,
    /// Those that it needs for its own requests.
    pub own: i32,
    /// Its maxReplicas.
    pub most: i32,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing is moved; why.
    Freeze(String),
    /// All requests go to this backend.
    To(String),
}

/// Where the requests go now.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// State, weights, what is asked of the standbys.
    pub status: FailoverStatus,
    /// Why it stands where it stands; the first is the one to show.
    pub reasons: Vec<Reason>,
    /// Whether a standby would take all requests now, and which, or why not.
    pub ready: Reason,
    /// Sources whose KPIs alone say that the primary fails; empty if its pods or a person say so.
    pub sources: BTreeSet<String>,
    /// Replicas that the service itself needs for requests that come back.
    pub floor: i32,
    /// When to look again because of it.
    pub next_look: Option<SignedDuration>,
}

/// A service that is about to leave its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure<'a> {
    /// Name of the standby that is to get the requests.
    pub to: &'a str,
    /// Sources of the KPIs that alone say that the primary fails; empty if its pods or an annotation say so.
    pub sources: &'a BTreeSet<String>,
}

/// Why a service may not leave its primary now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Veto {
    /// Sources by whose KPIs too many services have left by now.
    pub crowded: BTreeSet<String>,
    /// Why the standby can't take the requests, in a sentence, if that is the reason.
    pub trouble: Option<String>,
}

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
///   switch and never limited. What a person says is always done, and starts the count anew.
/// - `fleet` may veto a departure: because of a KPI that too many services leave by, or of a standby that would send the
///   requests in a circle. Then it is decided anew with what the veto says.
pub(super) fn decide(
    spec: &Validated,
    seen: &Observation,
    graded: &Evidence,
    memory: &mut Memory,
    now: Timestamp,
    fleet: &mut Fleet<'_>,
) -> Option<Shift> {
    let rules = spec.failover.as_ref()?;
    let mut standing = seen.standing.clone()?;
    let mut course = Course::of(rules, &standing, now);
    course.obeyed = course.obeyed.take().filter(|name| standing.order == Some(Order::To(name.clone())));
    course.expect(seen.pods.ready(), seen.replicas);
    let signs = memory.failover.look(spec, rules, seen, graded, course.expected, now);
    // Each veto takes away a standby, or the right to leave because of a KPI.
    for _ in 0..=rules.standbys.len() {
        let mut tried = memory.failover.clone();
        let turn =
            Turn { spec, rules, seen, standing: &standing, signs: signs.clone(), memory: &mut tried, now };
        let shift = turn.shift(course.clone());
        match vetoed(&standing, &shift, fleet) {
            None => {
                memory.failover = tried;
                return Some(shift);
            }
            Some(veto) => standing.follow(veto, &shift.status.active),
        }
    }
    let turn = Turn { spec, rules, seen, standing: &standing, signs, memory: &mut memory.failover, now };
    Some(turn.shift(course))
}

/// The veto against a departure from the primary; `None` if there is no departure, or if it is granted.
fn vetoed(standing: &Standing, shift: &Shift, fleet: &mut Fleet<'_>) -> Option<Veto> {
    let was_here = standing.told.as_ref().is_none_or(|told| told.active == PRIMARY);
    if !was_here || shift.status.active == PRIMARY {
        return None;
    }
    fleet(Departure { to: &shift.status.active, sources: &shift.sources }).err()
}

impl Standing {
    /// Takes over what a veto against a departure to the standby `to` says.
    fn follow(&mut self, Veto { crowded, trouble }: Veto, to: &str) {
        self.crowded = crowded;
        if trouble.is_some() {
            let standbys = self.standbys.iter_mut().filter(|standby| standby.name == to);
            standbys.for_each(|standby| standby.trouble.clone_from(&trouble));
        }
    }
}
