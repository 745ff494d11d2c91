//! Lost zones: the service is scaled up immediately, so that the remaining zones have the needed replicas.
//!
//! Kubernetes marks a node NotReady after most of a minute and evicts its pods after another five. Until then the scheduler
//! still spreads new pods over the lost zone: if the remaining zones have half of the replicas, they get half of the new
//! ones, too. The needed replicas are therefore divided by the share of the remaining zones.

use jiff::{SignedDuration, Timestamp};

use super::{
    Zones,
    changes::Changes,
    proposal::{Look, replicas_for},
    stabilize::Recommendations,
    step::Step,
};
use plimsoll_api::{DecisionReason, Goal, Validated};

/// Proposals within this time before a loss count as the need: in the first seconds of a loss, metrics of an unknown part of
/// the replicas are missing.
const BEFORE: SignedDuration = SignedDuration::from_secs(30);
/// A process that has run for less than this can't distinguish the replicas before a loss from those added for it.
const YOUNG: SignedDuration = SignedDuration::from_secs(60);
/// Younger raises may have been made for a loss by an earlier process.
const RECENT: SignedDuration = SignedDuration::from_secs(600);
/// A loss is remembered for the scale-down window and this time, so that a flapping zone counts as one loss.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(300);
/// Kubernetes evicts the pods of an unreachable node after five minutes (DefaultTolerationSeconds).
const EVICTION: SignedDuration = SignedDuration::from_secs(300);

/// Memory of zone losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ZoneMemory {
    /// The first turn of this process.
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
    /// Limits all times to `now`.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let loss = self.loss.as_mut().into_iter().flat_map(|loss| [&mut loss.since, &mut loss.last]);
        self.since.as_mut().into_iter().chain(loss).for_each(|at| *at = now.min(*at));
    }
}

/// Input for the response to a loss.
pub(super) struct Situation<'a> {
    pub spec: &'a Validated,
    pub looks: &'a [Look],
    /// The target's current `spec.replicas`.
    pub replicas: i32,
    pub recommendations: &'a Recommendations,
    pub changes: &'a Changes,
    pub now: Timestamp,
}

impl Situation<'_> {
    /// Total replicas during a loss that let the needed ones serve; 0 without a loss.
    ///
    /// The need is what a Load proposes now, or what was proposed before the loss. Proposals relative to the current replicas
    /// would grow with each raise.
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
        // No scale-down until the eviction: it might remove serving replicas, and Kubernetes is about to move pods.
        let is_new = now.duration_since(loss.since) < EVICTION;
        if is_new { raised.max(self.replicas) } else { raised }
    }

    /// Replicas that were needed before a newly detected loss.
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

/// Raises the replicas for a loss, without stabilization: the remaining replicas carry the whole load.
pub(super) fn raise(step: &mut Step, zones: Option<&Zones>, raised: i32) {
    let Some(zones) = zones else { return };
    step.at_least(raised, || DecisionReason::ZoneLost {
        zones: zones.names_lost(),
        lost: zones.replicas_lost,
        left: zones.replicas_left,
    });
}
