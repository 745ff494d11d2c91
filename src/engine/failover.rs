//! Failover: requests move to a standby when the primary fails, as fast as the standby can take them, and come back step
//! by step.
//!
//! Its past is what status says, so it survives a restart of whoever calls it; in memory there are only the last samples
//! of each sign, and since when all is well, which begin anew.

mod course;
mod signs;
mod standbys;
mod turn;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use self::{course::Course, turn::Turn};
use super::{Memory, Observation};
use crate::api::{FailoverState, FailoverStatus, Mode, Reason, Validated};

pub(super) use signs::SignMemory;

/// How often to look while requests move, or may have to.
const HURRY: SignedDuration = SignedDuration::from_millis(500);
/// How often to look while requests are away.
const AWAY: SignedDuration = SignedDuration::from_secs(2);

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
    /// `IP:PORT` of each of its addresses; empty as long as they are not known.
    pub addresses: Vec<String>,
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
#[must_use]
pub fn fail_over(spec: &Validated, seen: &Observation, memory: &mut Memory, now: Timestamp) -> Option<Shift> {
    let rules = spec.failover.as_ref()?;
    let standing = seen.standing.as_ref()?;
    memory.keep_only(&spec.kpis);
    let mut course = Course::of(rules, standing, now);
    course.obeyed = course.obeyed.take().filter(|name| standing.order == Some(Order::To(name.clone())));
    course.expect(seen.pods.ready(), seen.replicas);
    let samples = signs::samples(spec, rules, seen, &mut memory.kpis, now);
    let signs = memory.failover.look(spec, rules, seen, &samples, course.expected, now);
    let mut turn = Turn { spec, rules, seen, standing, signs, memory: &mut memory.failover, now };
    let ready = turn.readiness(&course);
    let (state, reason) = match (&standing.order, spec.mode) {
        (_, Mode::Paused) => turn.paused(&course),
        (Some(Order::Freeze(why)), _) => turn.frozen(why),
        (_, Mode::Observe) => turn.observe(&course),
        (Some(Order::To(name)), _) if course.obeyed.as_ref() != Some(name) => turn.ordered(&mut course, name),
        (Some(Order::To(_)) | None, _) => turn.automatic(&mut course),
    };
    let next_look = match state {
        FailoverState::Suspect | FailoverState::Shifting | FailoverState::Returning => Some(HURRY),
        _ if course.is_away() => Some(AWAY),
        _ => None,
    };
    let floor = turn.floor(&course);
    course.expect(seen.pods.ready(), seen.replicas);
    let ordered = matches!(standing.order, Some(Order::To(_)));
    let sources = if ordered { BTreeSet::new() } else { turn.signs.sources };
    Some(Shift {
        status: course.status(standing, state, now),
        reasons: vec![reason],
        ready,
        sources,
        floor,
        next_look,
    })
}
