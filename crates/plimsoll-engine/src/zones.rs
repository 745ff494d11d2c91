//! A zone whose replicas are lost: the others are raised for its share at once.
//!
//! Kubernetes gives up a node after most of a minute and its pods after another five, and until then the scheduler
//! still spreads new pods over the dead zone. If the living zones have half of the replicas, they get half of the new
//! ones, too: so what is needed, divided by the share of the living zones, gives these what is needed.

use jiff::{SignedDuration, Timestamp};

use super::{
    Zones,
    changes::Changes,
    proposal::{Look, replicas_for},
    stabilize::Recommendations,
    step::Step,
};
use plimsoll_api::{DecisionReason, Goal, Validated};

/// The proposals within this time before a loss count as what was needed: in the first seconds of a loss the metrics of an
/// unknown part of the replicas are missing.
const BEFORE: SignedDuration = SignedDuration::from_secs(30);
/// A process that looks for less than this can't tell what there was before from what was raised for a loss.
const YOUNG: SignedDuration = SignedDuration::from_secs(60);
/// Raises that are younger may have been for a loss that a process before this one saw.
const RECENT: SignedDuration = SignedDuration::from_secs(600);
/// A loss is remembered for so much longer than what was raised for it may be held: one that flaps is one.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(300);
/// Kubernetes evicts the pods of a node that is gone after five minutes (DefaultTolerationSeconds).
const EVICTION: SignedDuration = SignedDuration::from_secs(300);

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

/// What a loss is judged by.
pub(super) struct Situation<'a> {
    pub spec: &'a Validated,
    pub looks: &'a [Look],
    /// Replicas that the target wants now.
    pub replicas: i32,
    pub recommendations: &'a Recommendations,
    pub changes: &'a Changes,
    pub now: Timestamp,
}

impl Situation<'_> {
    /// Replicas that there must be for a loss, so that those which are needed serve; 0 without one.
    ///
    /// What is needed is what a Load says now, or what was proposed before the loss: a proposal that is relative to the
    /// replicas there are would grow with each raise.
    pub fn raised(&self, zones: Option<&Zones>, memory: &mut ZoneMemory) -> i32 {
        let now = self.now;
        let since = *memory.since.get_or_insert(now);
        let kept = self.spec.scale_down.window + REMEMBERED;
        memory.loss = memory.loss.filter(|loss| now.duration_since(loss.last) < kept);
        let Some(zones) = zones.filter(|zones| !zones.lost.is_empty() && zones.replicas_left > 0) else {
            return 0;
        };
        let young = now.duration_since(since) < YOUNG;
        let loss = match memory.loss {
            Some(loss) => Loss { last: now, ..loss },
            None => Loss { needed: self.needed_before(young), since: now, last: now },
        };
        memory.loss = Some(loss);
        let loads = self.looks.iter().filter(|look| matches!(look.goal, Goal::PerReplica(_)));
        let needed = loads.filter_map(|look| look.proposal).fold(loss.needed, i32::max);
        let (lost, left) = (f64::from(zones.replicas_lost), f64::from(zones.replicas_left));
        let raised = replicas_for(f64::from(needed) * (lost + left) / left);
        // Meanwhile none goes: a scale-down might take those that serve, and Kubernetes is about to change who is where.
        let is_new = now.duration_since(loss.since) < EVICTION;
        if is_new { raised.max(self.replicas) } else { raised }
    }

    /// Replicas that were needed before a loss that is seen for the first time.
    fn needed_before(&self, young: bool) -> i32 {
        let window = BEFORE.max(self.spec.period * 2);
        let proposed = self.recommendations.highest(window, self.now).unwrap_or(self.replicas);
        if !young {
            return proposed;
        }
        let recent = self.changes.raises().filter(|change| self.now.duration_since(change.at) < RECENT);
        recent.map(|change| change.from).fold(proposed.min(self.replicas), i32::min)
    }
}

/// Raises for a loss. Stabilisation does not hold it: what is left carries all of the load.
pub(super) fn raise(step: &mut Step, zones: Option<&Zones>, raised: i32) {
    let Some(zones) = zones else { return };
    step.at_least(raised, || DecisionReason::ZoneLost {
        zones: zones.names_lost(),
        lost: zones.replicas_lost,
        left: zones.replicas_left,
    });
}
