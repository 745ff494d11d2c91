//! The one parent: proposals, then every limit in order.

use jiff::{SignedDuration, Timestamp};

use super::{
    Decision, Drain, Memory, Observation, Past, Topology, evidence,
    memory::BURST_HOLD,
    proposal::{Hold, Look, look_at_kpis},
    rate, stabilize, standby,
    step::Step,
    traffic, zones,
};
use crate::api::{Goal, KpiState, Mode, Reason, ReasonCode, Validated};

/// The next look after a raise comes no sooner, since Prometheus scrapes no more often.
const SOONEST: SignedDuration = SignedDuration::from_secs(1);

/// Decides how many replicas the service should have at `now`.
///
/// Order, each step leaving its reason: proposal of each KPI, the largest of them, schedule, failover, evidence, burst,
/// stabilisation, first look, requests held, zones lost, rate policies, minReplicas and maxReplicas, drain, mode. Same
/// input, same decision.
#[must_use]
pub fn decide(spec: &Validated, seen: &Observation, memory: &mut Memory, now: Timestamp) -> Decision {
    let current = seen.replicas;
    memory.clock_set_back(now);
    let looks = look_at_kpis(spec, seen, memory, now);
    let mut step = largest(&looks, current, spec.min_replicas);
    raise_to_schedule(&mut step, spec, now);
    let own = standby::raise(&mut step, seen, memory);
    let woken = traffic::woken(spec, seen);
    let proposed = step.replicas.max(woken);
    hold_for_evidence(&mut step, &looks, current);
    hold_for_burst(&mut step, &looks, current, memory, now);
    let topology = seen.topology.as_ref().and_then(Topology::zones);
    let raised = zones::raised(topology.as_ref(), &looks, spec, seen, memory, now);
    let first_look = !std::mem::replace(&mut memory.looked, true);
    let windows = stabilize::Windows::of(spec, reach(&looks));
    if first_look && !memory.explains(current, windows.down, now) {
        // As in autoscaling/v2: what happened before is not known, so what there is counts as recommended.
        memory.recommendations.record(now, current, windows.longest());
    }
    // What woke a service counts as recommended, so that the KPIs' next zero has to wait for the window; and so does
    // what is raised for a zone, until it has served again for as long.
    let recommended = step.replicas.max(woken).max(raised.min(spec.max_replicas));
    memory.recommendations.record(now, recommended, windows.longest());
    stabilize::stabilize(&mut step, current, &memory.recommendations, &windows, now);
    if first_look {
        step.at_least(current, |from, to| {
            Reason::new(ReasonCode::HeldOnFirstLook, from, to).with("secondsLeft", spec.period.as_secs_f64())
        });
    }
    traffic::wake(&mut step, seen, woken);
    zones::raise(&mut step, topology.as_ref(), raised);
    rate::limit(&mut step, current, &memory.changes, (&spec.scale_up, &spec.scale_down), now);
    step.at_least(spec.min_replicas, |from, to| {
        Reason::new(ReasonCode::MinReplicas, from, to).with("minReplicas", f64::from(to))
    });
    step.at_most(spec.max_replicas, |from, to| {
        Reason::new(ReasonCode::MaxReplicas, from, to).with("maxReplicas", f64::from(to))
    });
    let drain = traffic::drain_first(&mut step, spec, seen, now, first_look);
    conclude(&mut step, current, spec.mode);
    Decision {
        replicas: step.replicas,
        reasons: step.reasons,
        bound_by: step.bound_by,
        proposed,
        own: own.clamp(0, spec.max_replicas),
        kpis: looks.into_iter().map(|look| look.status).collect(),
        next_look: next_look(spec, spec.mode == Mode::Auto && step.replicas > current, drain.as_ref(), now),
        drain,
        zones: topology,
    }
}

/// The values of one KPI at the steps of a range query, oldest first, with the KPI's name.
pub type History = (String, Vec<(Timestamp, f64)>);

/// The proposals of the past, for [`Memory::rebuilt`]: what Load KPIs would have proposed at each time until `now`.
///
/// A Load says how many replicas it needs whatever there were; a Utilization does not, and is left out.
#[must_use]
pub fn past_proposals(spec: &Validated, history: &[History], now: Timestamp) -> Past {
    let mut proposals = std::collections::BTreeMap::<Timestamp, i32>::new();
    for rule in &spec.kpis {
        let Goal::PerReplica(per_replica) = rule.goal else { continue };
        let points = history.iter().filter(|(name, _)| *name == rule.name).flat_map(|(_, points)| points);
        for (at, value) in points.filter(|(_, value)| evidence::can_be_a_load(*value, per_replica)) {
            let wanted = super::proposal::replicas_for(value.max(0.0) / per_replica);
            let wanted = wanted.clamp(spec.min_replicas, spec.max_replicas);
            proposals.entry(*at).and_modify(|most| *most = wanted.max(*most)).or_insert(wanted);
        }
    }
    Past { complete: is_complete(spec, history, now), proposals: proposals.into_iter().collect() }
}

/// Whether every KPI is a Load whose values are known from the oldest point of all until `now`.
fn is_complete(spec: &Validated, history: &[History], now: Timestamp) -> bool {
    let points = |name: &str| history.iter().find(|(known, _)| known == name).map(|(_, points)| points);
    let Some(oldest) = history.iter().filter_map(|(_, points)| Some(points.first()?.0)).min() else {
        return false;
    };
    spec.kpis.iter().all(|rule| {
        let points = points(&rule.name).filter(|_| matches!(rule.goal, Goal::PerReplica(_)));
        points.is_some_and(|points| !has_gap(points, rule.goal.number(), oldest, now))
    })
}

/// Whether a step between `oldest` and `now` has no value. A range query leaves out the steps without a sample.
fn has_gap(points: &[(Timestamp, f64)], per_replica: f64, oldest: Timestamp, now: Timestamp) -> bool {
    let loads = || points.iter().filter(|(_, value)| evidence::can_be_a_load(*value, per_replica));
    let times = || loads().map(|(at, _)| *at);
    let between: Vec<_> = times().skip(1).zip(times()).map(|(later, at)| later.duration_since(at)).collect();
    let (Some(first), Some(last), Some(step)) = (times().next(), times().next_back(), between.iter().min())
    else {
        return true;
    };
    let ends = [first.duration_since(oldest), now.duration_since(last)];
    between.iter().chain(&ends).any(|time| *time >= step.saturating_mul(2))
}

/// The largest proposal; without any, what there is, or the minimum for a service that only has a schedule.
fn largest(looks: &[Look], current: i32, min_replicas: i32) -> Step {
    let mut reasons: Vec<Reason> = looks.iter().flat_map(|look| look.reasons.clone()).collect();
    if looks.is_empty() {
        let reason = Reason::new(ReasonCode::MinReplicas, current, min_replicas);
        reasons.push(reason.with("minReplicas", f64::from(min_replicas)));
        return Step { replicas: min_replicas, reasons, bound_by: ReasonCode::MinReplicas };
    }
    let idle = idle(looks);
    let counted = looks.iter().filter(|look| !idle || matches!(look.goal, Goal::PerReplica(_)));
    let winner =
        counted.filter_map(|look| Some((look.proposal?, look))).max_by_key(|(replicas, _)| *replicas);
    match winner {
        Some((replicas, look)) => {
            let asks = |reason: &&Reason| reason.to == replicas && reason.code != ReasonCode::KpiNotFresh;
            let bound_by = look
                .reasons
                .iter()
                .rev()
                .find(asks)
                .map_or(ReasonCode::WithinTolerance, |reason| reason.code);
            Step { replicas, reasons, bound_by }
        }
        None => {
            let bound_by = reasons.last().map_or(ReasonCode::WithinTolerance, |reason| reason.code);
            Step { replicas: current, reasons, bound_by }
        }
    }
}

/// Every Load says zero and nothing else asks for more than the one replica that any use above zero asks for.
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

fn raise_to_schedule(step: &mut Step, spec: &Validated, now: Timestamp) {
    if let Some(entry) =
        spec.schedule.iter().filter(|entry| entry.holds(now)).max_by_key(|entry| entry.min_replicas)
    {
        step.at_least(entry.min_replicas, |from, to| {
            Reason::new(ReasonCode::ScheduleFloor, from, to)
                .about(&entry.name)
                .with("minReplicas", f64::from(to))
        });
    }
}

/// No scale-down without fresh evidence from every KPI, nor while an objective is near its limit.
fn hold_for_evidence(step: &mut Step, looks: &[Look], current: i32) {
    let doubt = |look: &Look| match (look.holds?, look.state) {
        (Hold::Objective, _) => None,
        (Hold::NotFresh, KpiState::Fresh) => Some(format!("{} is unmeasured", look.name)),
        (Hold::NotFresh, state) => {
            let state: &'static str = state.into();
            Some(format!("{} is {state}", look.name))
        }
    };
    let blind: Vec<String> = looks.iter().filter_map(doubt).collect();
    if !blind.is_empty() {
        step.at_least(current, |from, to| {
            Reason::new(ReasonCode::HeldWithoutEvidence, from, to).detailed(blind.join(", "))
        });
    }
    let tight = looks.iter().find(|look| look.holds == Some(Hold::Objective));
    if let Some(look) = tight
        && step.replicas < current
        && let Some(reason) = look.reasons.last()
    {
        let mut reason = reason.clone();
        (reason.from, reason.to) = (step.replicas, current);
        step.bind(reason);
    }
}

/// No scale-down while a burst lasts.
fn hold_for_burst(step: &mut Step, looks: &[Look], current: i32, memory: &mut Memory, now: Timestamp) {
    if looks.iter().any(|look| look.burst) {
        memory.burst_until = now.checked_add(BURST_HOLD).ok();
    }
    if let Some(until) = memory.burst_until.filter(|until| *until > now) {
        let left = until.duration_since(now).as_secs_f64().ceil();
        step.at_least(current, |from, to| {
            Reason::new(ReasonCode::HeldForBurst, from, to).with("secondsLeft", left)
        });
    }
}

fn conclude(step: &mut Step, current: i32, mode: Mode) {
    let (from, to) = (current, step.replicas);
    let code = match mode {
        Mode::Paused => ReasonCode::Paused,
        Mode::Observe => ReasonCode::Observing,
        Mode::Auto if to > from => ReasonCode::ScaledUp,
        Mode::Auto if to < from => ReasonCode::ScaledDown,
        Mode::Auto => ReasonCode::Steady,
    };
    step.reasons.push(Reason::new(code, from, to));
}

/// When to look again. A rise is seldom over when it is first seen, so after a raise it is sooner.
fn next_look(spec: &Validated, raised: bool, drain: Option<&Drain>, now: Timestamp) -> SignedDuration {
    let soon = (spec.period / 4).max(SOONEST).min(spec.period);
    let usual = if raised { soon } else { spec.period };
    let changes = spec.schedule.iter().filter_map(|entry| entry.next_change(now));
    let changes = changes.map(|change| change.duration_since(now));
    changes.chain(drain.and_then(Drain::next_look)).fold(usual, SignedDuration::min)
}
