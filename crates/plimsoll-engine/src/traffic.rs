//! What the load balancers mean for the replicas: requests that wait raise them, requests that run keep them.

use jiff::Timestamp;

use super::{
    Drain, Observation,
    drain::{drain, hold},
    step::Step,
};
use plimsoll_api::{Mode, Reason, ReasonCode, Validated};

/// Replicas that the requests held at the balancers need at least; 0 if none are held.
pub(super) fn woken(spec: &Validated, seen: &Observation) -> i32 {
    if seen.held <= 0 {
        return 0;
    }
    // Whom the balancers are to stop sending to is not to go while requests wait.
    let needed = if seen.pods.ready() > 0 { 1 } else { replicas_for(spec, seen.held) };
    needed.max(seen.replicas).min(spec.max_replicas)
}

fn replicas_for(spec: &Validated, held: i32) -> i32 {
    let each = spec.traffic.and_then(|traffic| traffic.connections_per_replica);
    each.map_or(1, |each| held / each.max(1) + i32::from(held % each.max(1) > 0))
}

/// Raises a service that requests wait for. Stabilisation does not hold it: somebody waits.
pub(super) fn wake(step: &mut Step, seen: &Observation, woken: i32) {
    step.at_least(woken, |from, to| {
        Reason::new(ReasonCode::RequestsHeld, from, to).with("held", f64::from(seen.held))
    });
}

/// Holds a scale-down until the replicas that are to go have finished.
pub(super) fn drain_first(
    step: &mut Step,
    spec: &Validated,
    seen: &Observation,
    now: Timestamp,
    first_look: bool,
) -> Option<Drain> {
    let (traffic, rotation) = (spec.traffic?, seen.rotation.as_ref()?);
    let current = seen.replicas;
    // The first look lowers nothing, but it must not forget what its predecessor was about either.
    if first_look && spec.mode == Mode::Auto && step.replicas == current {
        return Some(hold(rotation, current));
    }
    // A mode that writes nothing to the target drains nothing, and takes back what was begun.
    let wanted = if spec.mode == Mode::Auto { step.replicas } else { current };
    let plan = drain(rotation, wanted, current, traffic.drain_timeout, now);
    if spec.mode == Mode::Auto && step.replicas < current {
        let limit = traffic.drain_timeout.as_secs_f64();
        let passed = plan.since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        step.at_least(plan.replicas, |from, to| {
            let victims = to - from;
            Reason::new(ReasonCode::Draining, from, to)
                .with("draining", f64::from(victims))
                .with("drained", f64::from(plan.drained.min(victims)))
                .with("timeoutSeconds", limit)
                .with("secondsLeft", (limit - passed).max(0.0).ceil())
        });
        if plan.timed_out > 0 && limit > 0.0 {
            let reason = Reason::new(ReasonCode::DrainTimedOut, plan.replicas, plan.replicas);
            let reason = reason.with("draining", f64::from(plan.timed_out));
            step.reasons.push(reason.with("timeoutSeconds", limit));
        }
    }
    Some(plan)
}
