//! Effect of the load balancers on the replicas: held requests raise them, running requests delay a scale-down.

use jiff::Timestamp;

use super::{
    Drain, Observation,
    drain::{drain, hold},
    step::Step,
};
use plimsoll_api::{DecisionReason, Mode, Validated};

/// Minimum number of replicas for held requests; 0 if none are held.
pub(super) fn woken(spec: &Validated, seen: &Observation) -> i32 {
    if seen.held <= 0 {
        return 0;
    }
    // No replica is removed while requests are held.
    let needed = if seen.pods.ready() > 0 { 1 } else { replicas_for(spec, seen.held) };
    needed.max(seen.replicas).min(spec.max_replicas)
}

fn replicas_for(spec: &Validated, held: i32) -> i32 {
    let each = spec.traffic.and_then(|traffic| traffic.connections_per_replica);
    each.map_or(1, |each| held / each.max(1) + i32::from(held % each.max(1) > 0))
}

/// Raises the replicas for held requests, without stabilization: clients are waiting.
pub(super) fn wake(step: &mut Step, seen: &Observation, woken: i32) {
    step.at_least(woken, || DecisionReason::RequestsHeld { held: seen.held });
}

/// Delays a scale-down until the replicas to be removed are drained.
pub(super) fn drain_first(
    step: &mut Step,
    spec: &Validated,
    seen: &Observation,
    now: Timestamp,
    first_look: bool,
) -> Option<Drain> {
    let (traffic, rotation) = (spec.traffic?, seen.rotation.as_ref()?);
    let current = seen.replicas;
    // The first turn lowers nothing, but must not cancel the drains of the previous process either.
    if first_look && spec.mode == Mode::Auto && step.replicas == current {
        return Some(hold(rotation, current));
    }
    // A mode that does not write to the target drains nothing, and cancels drains in progress.
    let wanted = if spec.mode == Mode::Auto { step.replicas } else { current };
    let plan = drain(rotation, wanted, current, traffic.drain_timeout, now);
    if spec.mode == Mode::Auto && step.replicas < current {
        let timeout_seconds = traffic.drain_timeout.as_secs_f64();
        let passed = plan.since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        let draining = plan.replicas - step.replicas;
        step.at_least(plan.replicas, || DecisionReason::Draining {
            draining,
            drained: plan.drained.min(draining),
            timeout_seconds,
            seconds_left: (timeout_seconds - passed).max(0.0).ceil(),
        });
        if plan.timed_out > 0 && timeout_seconds > 0.0 {
            let reason = DecisionReason::DrainTimedOut { draining: plan.timed_out, timeout_seconds };
            step.reasons.push(reason.step(plan.replicas, plan.replicas));
        }
    }
    Some(plan)
}
