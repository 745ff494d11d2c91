//! A zone whose replicas are lost: the others are raised for its share at once.
//!
//! Kubernetes gives up a node after most of a minute and its pods after another five, and until then the scheduler
//! still spreads new pods over the dead zone. If the living zones have half of the replicas, they get half of the new
//! ones, too: so what is needed, divided by the share of the living zones, gives these what is needed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    memory::Memory,
    observation::Observation,
    proposal::{Look, replicas_for},
    step::Step,
};
use plimsoll_api::{Goal, Reason, ReasonCode, Validated};

/// What was proposed within this time before a loss is what was needed: what Prometheus says of the first seconds of a
/// loss lacks a part that nobody knows.
const BEFORE: SignedDuration = SignedDuration::from_secs(30);
/// A process that looks for less than this can't tell what there was before from what was raised for a loss.
const YOUNG: SignedDuration = SignedDuration::from_secs(60);
/// Raises that are younger may have been for a loss that a process before this one saw.
const RECENT: SignedDuration = SignedDuration::from_secs(600);
/// A loss is remembered for so much longer than what was raised for it may be held: one that flaps is one.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(300);
/// Kubernetes evicts the pods of a node that is gone after five minutes (DefaultTolerationSeconds).
const EVICTION: SignedDuration = SignedDuration::from_secs(300);
/// One replica that the balancers find down is a replica that is down, and not a zone.
const REPLICAS_LEAST: usize = 2;

/// Where the replicas are, and what the load balancers say of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The target's pods that are there to stay.
    pub replicas: Vec<Placed>,
    /// Each load balancer that is ready and in sync.
    pub balancers: Vec<Witness>,
}

/// One replica with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Name of its pod.
    pub name: String,
    /// Its zone, if that is known; who has no node yet has none.
    pub zone: Option<String>,
    /// Its condition Ready.
    pub ready: bool,
    /// Whether its node is ready, if that is known.
    pub node_ready: Option<bool>,
}

/// What one load balancer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Its own zone, if that is known.
    pub zone: Option<String>,
    /// Ready replicas that fail its checks.
    pub down: BTreeSet<String>,
    /// `down` is cut short: it says nothing of who comes after its last name.
    pub cut: bool,
}

/// The zones that have replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    /// Zones with a replica that serves.
    pub serving: BTreeSet<String>,
    /// Zones all of whose replicas are lost; empty unless another one serves.
    pub lost: BTreeSet<String>,
    /// Replicas in lost zones.
    pub replicas_lost: i32,
    /// Replicas in all other zones, those that are starting included.
    pub replicas_left: i32,
}

/// What is remembered of losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ZoneMemory {
    /// The first look of this process.
    since: Option<Timestamp>,
    loss: Option<Loss>,
}

/// The last loss.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loss {
    /// Replicas that were needed when it was first seen.
    needed: i32,
    /// When it was first seen.
    since: Timestamp,
    /// When it was last seen.
    last: Timestamp,
}

impl ZoneMemory {
    /// What was noted ahead of `now` counts as noted now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let loss = self.loss.as_mut().into_iter().flat_map(|loss| [&mut loss.since, &mut loss.last]);
        self.since.as_mut().into_iter().chain(loss).for_each(|at| *at = now.min(*at));
    }
}

/// What can be said of one replica.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Serves,
    Unknown,
    /// The balancers find it down.
    Down,
    /// Its node is gone.
    NodeGone,
}

impl Topology {
    /// Which zones serve, and which are lost; `None` if no replica's zone is known.
    ///
    /// A zone is lost if none of its replicas serves, and its node is gone or at least two of its replicas are down,
    /// while another zone serves. Who is starting says nothing.
    #[must_use]
    pub fn zones(&self) -> Option<Zones> {
        let mut by_zone = BTreeMap::<&str, Vec<Fate>>::new();
        for replica in &self.replicas {
            if let Some(zone) = replica.zone.as_deref() {
                by_zone.entry(zone).or_default().push(self.fate(replica, zone));
            }
        }
        if by_zone.is_empty() {
            return None;
        }
        let serves = |fates: &[Fate]| fates.contains(&Fate::Serves);
        let is_lost = |fates: &[Fate]| {
            let down = fates.iter().filter(|fate| **fate == Fate::Down).count();
            !serves(fates) && (fates.contains(&Fate::NodeGone) || down >= REPLICAS_LEAST)
        };
        let named = |wanted: &dyn Fn(&[Fate]) -> bool| -> BTreeSet<String> {
            by_zone.iter().filter(|(_, fates)| wanted(fates)).map(|(zone, _)| (*zone).to_owned()).collect()
        };
        let serving = named(&serves);
        let lost = if serving.is_empty() { BTreeSet::new() } else { named(&is_lost) };
        let (mut replicas_lost, mut replicas_left) = (0, 0);
        for (zone, fates) in &by_zone {
            let replicas = i32::try_from(fates.len()).unwrap_or(i32::MAX);
            let sum = if lost.contains(*zone) { &mut replicas_lost } else { &mut replicas_left };
            *sum += replicas;
        }
        Some(Zones { serving, lost, replicas_lost, replicas_left })
    }

    fn fate(&self, replica: &Placed, zone: &str) -> Fate {
        if !replica.ready {
            return if replica.node_ready == Some(false) { Fate::NodeGone } else { Fate::Unknown };
        }
        // The last word of a balancer that may be lost with the zone says nothing of it.
        let others = || self.balancers.iter().filter(|balancer| balancer.zone.as_deref() != Some(zone));
        let (mut up, mut down) = (0_usize, 0_usize);
        for said in others().filter_map(|balancer| balancer.says_down(&replica.name)) {
            *(if said { &mut down } else { &mut up }) += 1;
        }
        match (up, down) {
            (0, 0) if others().next().is_some() => Fate::Unknown,
            _ if down > up => Fate::Down,
            _ => Fate::Serves,
        }
    }
}

impl Witness {
    fn says_down(&self, pod: &str) -> Option<bool> {
        let beyond = self.cut && self.down.last().is_none_or(|last| pod > last.as_str());
        (!beyond).then(|| self.down.contains(pod))
    }
}

/// Replicas that there must be for a loss, so that `needed` of them serve; 0 without one.
///
/// What is needed is what a Load says now, or what was proposed before the loss: a proposal that is relative to the
/// replicas there are would grow with each raise.
pub(super) fn raised(
    zones: Option<&Zones>,
    looks: &[Look],
    spec: &Validated,
    seen: &Observation,
    memory: &mut Memory,
    now: Timestamp,
) -> i32 {
    let since = *memory.zones.since.get_or_insert(now);
    let kept = spec.scale_down.window + REMEMBERED;
    memory.zones.loss = memory.zones.loss.filter(|loss| now.duration_since(loss.last) < kept);
    let Some(zones) = zones.filter(|zones| !zones.lost.is_empty() && zones.replicas_left > 0) else {
        return 0;
    };
    let young = now.duration_since(since) < YOUNG;
    let loss = match memory.zones.loss {
        Some(loss) => Loss { last: now, ..loss },
        None => Loss { needed: needed_before(spec, seen, memory, young, now), since: now, last: now },
    };
    memory.zones.loss = Some(loss);
    let loads = looks.iter().filter(|look| matches!(look.goal, Goal::PerReplica(_)));
    let needed = loads.filter_map(|look| look.proposal).fold(loss.needed, i32::max);
    let (lost, left) = (f64::from(zones.replicas_lost), f64::from(zones.replicas_left));
    let raised = replicas_for(f64::from(needed) * (lost + left) / left);
    // Meanwhile none goes: a scale-down might take those that serve, and Kubernetes is about to change who is where.
    let is_new = now.duration_since(loss.since) < EVICTION;
    if is_new { raised.max(seen.replicas) } else { raised }
}

/// Replicas that were needed before a loss that is seen for the first time.
fn needed_before(spec: &Validated, seen: &Observation, memory: &Memory, young: bool, now: Timestamp) -> i32 {
    let window = BEFORE.max(spec.period * 2);
    let proposed = memory.recommendations.highest(window, now).unwrap_or(seen.replicas);
    if !young {
        return proposed;
    }
    let raises = memory
        .changes
        .iter()
        .filter(|change| change.to > change.from && now.duration_since(change.at) < RECENT);
    raises.map(|change| change.from).fold(proposed.min(seen.replicas), i32::min)
}

/// Raises for a loss. Stabilisation does not hold it: what is left carries all of the load.
pub(super) fn raise(step: &mut Step, zones: Option<&Zones>, raised: i32) {
    let Some(zones) = zones else { return };
    step.at_least(raised, |from, to| {
        let names: Vec<&str> = zones.lost.iter().map(String::as_str).collect();
        Reason::new(ReasonCode::ZoneLost, from, to)
            .about(&names.join(", "))
            .with("lost", f64::from(zones.replicas_lost))
            .with("left", f64::from(zones.replicas_left))
    });
}
