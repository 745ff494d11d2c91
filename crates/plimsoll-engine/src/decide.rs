//! The scaling decision: the proposals of the KPIs, then every demand and every limit in order.

use jiff::{SignedDuration, Timestamp};

use super::{
    Decision, Drain, Memory, Observation, Topology, Zones,
    evidence::Evidence,
    kpis::look_at_kpis,
    proposal::{Hold, Look},
    rate, stabilize, standby,
    step::Step,
    traffic, zones,
};
use plimsoll_api::{DecisionCode, DecisionReason, DecisionStep, Goal, KpiState, Mode, Validated};

/// Shortest time to the next turn after a scale-up; Prometheus does not scrape more often.
const SOONEST: SignedDuration = SignedDuration::from_secs(1);

/// Input of the stages.
struct Facts<'a> {
    spec: &'a Validated,
    seen: &'a Observation,
    looks: &'a [Look],
    /// Replicas needed for requests that return from a standby.
    returning: i32,
    now: Timestamp,
}

/// The decision so far.
struct Draft {
    step: Step,
    /// Replicas needed for held requests; 0 without any.
    woken: i32,
    /// Replicas that the service needs for its own requests.
    own: i32,
    /// Whether this is the first turn with this memory.
    first_look: bool,
    zones: Option<Zones>,
    /// Total replicas needed because of a lost zone; 0 without a loss.
    raised: i32,
    drain: Option<Drain>,
}

/// A stage changes the replicas and then adds its reason.
type Stage = fn(&Facts<'_>, &mut Draft, &mut Memory);

/// Stages that raise the largest proposal, in order. `Decision::proposed` is their result, with held requests.
const DEMANDS: &[Stage] = &[schedule, failover];

/// Stages that limit the demand, in order.
const LIMITS: &[Stage] = &[
    evidence,
    burst,
    stabilization,
    first_look,
    held_requests,
    lost_zones,
    rate_policies,
    min_replicas,
    max_replicas,
    drain,
];

/// Decides the number of replicas at `now`: the largest proposal of the KPIs, then [`DEMANDS`], then [`LIMITS`], then the
/// mode. Deterministic.
pub(super) fn decide(
    spec: &Validated,
    seen: &Observation,
    graded: &Evidence,
    returning: i32,
    memory: &mut Memory,
    now: Timestamp,
) -> Decision {
    let looks = look_at_kpis(spec, seen, graded, memory, now);
    let facts = Facts { spec, seen, looks: &looks, returning, now };
    let step = largest(&looks, seen.replicas, spec.min_replicas);
    let zones = seen.topology.as_ref().and_then(Topology::zones);
    let mut draft = Draft {
        own: step.replicas,
        step,
        woken: traffic::woken(spec, seen),
        first_look: !std::mem::replace(&mut memory.looked, true),
        raised: raised(&facts, zones.as_ref(), memory),
        zones,
        drain: None,
    };
    DEMANDS.iter().for_each(|stage| stage(&facts, &mut draft, memory));
    let proposed = draft.step.replicas.max(draft.woken);
    LIMITS.iter().for_each(|stage| stage(&facts, &mut draft, memory));
    let Draft { mut step, own, zones, drain, .. } = draft;
    conclude(&mut step, seen.replicas, spec.mode);
    let raised = spec.mode == Mode::Auto && step.replicas > seen.replicas;
    let next_look = next_look(spec, raised, drain.as_ref(), now);
    Decision {
        replicas: step.replicas,
        reasons: step.reasons,
        bound_by: step.bound_by,
        proposed,
        own: own.clamp(0, spec.max_replicas),
        kpis: looks.into_iter().map(|look| look.status).collect(),
        next_look,
        drain,
        zones,
    }
}

/// Total replicas needed because of a lost zone.
fn raised(facts: &Facts<'_>, lost: Option<&Zones>, memory: &mut Memory) -> i32 {
    let Facts { spec, seen, looks, now, .. } = *facts;
    let Memory { zones, recommendations, changes, .. } = memory;
    let situation = zones::Situation { spec, looks, replicas: seen.replicas, recommendations, changes, now };
    situation.raised(lost, zones)
}

fn schedule(facts: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    let holding = facts.spec.schedule.iter().filter(|entry| entry.holds(facts.now));
    if let Some(entry) = holding.max_by_key(|entry| entry.min_replicas) {
        draft.step.at_least(entry.min_replicas, || DecisionReason::ScheduleFloor {
            entry: entry.name.clone(),
            min_replicas: entry.min_replicas,
        });
    }
}

/// Scales up a standby for the requests of other services, and a primary for the requests that move back to it.
fn failover(facts: &Facts<'_>, draft: &mut Draft, memory: &mut Memory) {
    draft.own = standby::raise(&mut draft.step, facts.seen.asked, facts.returning, &mut memory.standby_own);
}

/// The largest proposal. Without any, the current replicas, or `minReplicas` for a service without KPIs.
fn largest(looks: &[Look], current: i32, min_replicas: i32) -> Step {
    let reasons: Vec<DecisionStep> = looks.iter().flat_map(|look| look.reasons.clone()).collect();
    let mut step = Step { replicas: current, reasons, bound_by: DecisionCode::WithinTolerance };
    if looks.is_empty() {
        step.bind(min_replicas, DecisionReason::MinReplicas { min_replicas });
        return step;
    }
    let idle = idle(looks);
    let counted = looks.iter().filter(|look| !idle || matches!(look.goal, Goal::PerReplica(_)));
    let winner =
        counted.filter_map(|look| Some((look.proposal?, look))).max_by_key(|(replicas, _)| *replicas);
    let bound_by = match winner {
        Some((replicas, look)) => {
            step.replicas = replicas;
            let asks = |step: &&DecisionStep| step.to == replicas && step.code() != DecisionCode::KpiNotFresh;
            look.reasons.iter().rev().find(asks)
        }
        None => step.reasons.last(),
    };
    step.bound_by = bound_by.map_or(step.bound_by, DecisionStep::code);
    step
}

/// Whether every Load proposes zero and no other KPI more than the one replica that any use above zero needs.
fn idle(looks: &[Look]) -> bool {
    let mut loads = looks.iter().filter(|look| matches!(look.goal, Goal::PerReplica(_))).peekable();
    loads.peek().is_some()
        && loads.all(|look| look.proposal == Some(0) && look.state == KpiState::Fresh)
        && looks.iter().all(|look| look.proposal.is_none_or(|replicas| replicas <= 1))
}

/// The longest range behind a proposal.
fn reach(looks: &[Look]) -> SignedDuration {
    let proposing = looks.iter().filter(|look| look.proposal.is_some());
    proposing.map(|look| look.reach).max().unwrap_or_default()
}

/// Prevents a scale-down without a fresh sample of every KPI, or while an objective is near or above its limit.
fn evidence(facts: &Facts<'_>, Draft { step, .. }: &mut Draft, _: &mut Memory) {
    let (looks, current) = (facts.looks, facts.seen.replicas);
    let doubt = |look: &Look| match (look.holds?, look.state) {
        (Hold::Objective, _) => None,
        (Hold::NotFresh, KpiState::Fresh) => Some(format!("{} has no sample of a ready replica", look.name)),
        (Hold::NotFresh, state) => {
            let state: &'static str = state.into();
            Some(format!("{} is {state}", look.name))
        }
    };
    let blind: Vec<String> = looks.iter().filter_map(doubt).collect();
    if !blind.is_empty() {
        step.at_least(current, || DecisionReason::HeldWithoutEvidence { why: blind.join(", ") });
    }
    let tight = looks.iter().find(|look| look.holds == Some(Hold::Objective));
    if let Some(look) = tight
        && let Some(last) = look.reasons.last()
    {
        step.at_least(current, || last.reason.clone());
    }
}

/// Prevents a scale-down during a burst.
fn burst(facts: &Facts<'_>, draft: &mut Draft, memory: &mut Memory) {
    let now = facts.now;
    if facts.looks.iter().any(|look| look.burst) {
        memory.burst.begin(now);
    }
    if let Some(left) = memory.burst.left(now) {
        let seconds_left = left.as_secs_f64().ceil();
        draft.step.at_least(facts.seen.replicas, || DecisionReason::HeldForBurst { seconds_left });
    }
}

/// Applies the stabilization windows of autoscaling/v2, with the replicas for lost zones and held requests.
fn stabilization(facts: &Facts<'_>, draft: &mut Draft, memory: &mut Memory) {
    let Facts { spec, seen, looks, now, .. } = *facts;
    let windows = stabilize::Windows::of(spec, reach(looks));
    if draft.first_look && !memory.explains(seen.replicas, windows.down, now) {
        // As in autoscaling/v2: the past is unknown, so the current replicas count as recommended.
        memory.recommendations.record(now, seen.replicas, windows.longest());
    }
    // Replicas for held requests or a lost zone count as recommended, so that the next scale-down waits for the window.
    let recommended = draft.step.replicas.max(draft.woken).max(draft.raised.min(spec.max_replicas));
    memory.recommendations.record(now, recommended, windows.longest());
    stabilize::stabilize(&mut draft.step, seen.replicas, &memory.recommendations, &windows, now);
}

/// Prevents a scale-down on the first turn after a start or a change of leader.
fn first_look(facts: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    if draft.first_look {
        let seconds_left = facts.spec.period.as_secs_f64();
        draft.step.at_least(facts.seen.replicas, || DecisionReason::HeldOnFirstLook { seconds_left });
    }
}

fn held_requests(facts: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    traffic::wake(&mut draft.step, facts.seen, draft.woken);
}

fn lost_zones(_: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    zones::raise(&mut draft.step, draft.zones.as_ref(), draft.raised);
}

fn rate_policies(facts: &Facts<'_>, draft: &mut Draft, memory: &mut Memory) {
    rate::limit(&mut draft.step, facts.seen.replicas, &memory.changes, facts.spec, facts.now);
}

fn min_replicas(facts: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    let min_replicas = facts.spec.min_replicas;
    draft.step.at_least(min_replicas, || DecisionReason::MinReplicas { min_replicas });
}

fn max_replicas(facts: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    let max_replicas = facts.spec.max_replicas;
    draft.step.at_most(max_replicas, DecisionReason::MaxReplicas { max_replicas });
}

/// Lets replicas finish their requests before they are removed.
fn drain(facts: &Facts<'_>, draft: &mut Draft, _: &mut Memory) {
    let Facts { spec, seen, now, .. } = *facts;
    draft.drain = traffic::drain_first(&mut draft.step, spec, seen, now, draft.first_look);
}

fn conclude(step: &mut Step, current: i32, mode: Mode) {
    let (from, to) = (current, step.replicas);
    let end = match mode {
        Mode::Paused => DecisionReason::Paused,
        Mode::Observe => DecisionReason::Observing,
        Mode::Auto if to > from => DecisionReason::ScaledUp,
        Mode::Auto if to < from => DecisionReason::ScaledDown,
        Mode::Auto => DecisionReason::Steady,
    };
    step.reasons.push(end.step(from, to));
}

/// Time until the next turn. It is shorter after a scale-up, since a load that rises usually keeps rising.
fn next_look(spec: &Validated, raised: bool, drain: Option<&Drain>, now: Timestamp) -> SignedDuration {
    let soon = (spec.period / 4).max(SOONEST).min(spec.period);
    let usual = if raised { soon } else { spec.period };
    let changes = spec.schedule.iter().filter_map(|entry| entry.next_change(now));
    let changes = changes.map(|change| change.duration_since(now));
    changes.chain(drain.and_then(Drain::next_look)).fold(usual, SignedDuration::min)
}
