//! The step that bound a decision as the answer to "why this many?".

use super::bound::{Bound, demand};
use plimsoll_api::{
    ConditionCode, DecisionReason as R, DecisionStep, RateLimit,
    reason::{RateRule, draining, moment, zones_lost},
    text::{cause, counted, number, replicas, seconds},
};

/// The clause after `because`, for what bound the decision `steps`.
#[must_use]
pub fn because(bound: Bound<'_>, steps: &[DecisionStep]) -> String {
    match bound {
        Bound::Step(step) => step_because(step, steps),
        Bound::Condition(
            code @ (ConditionCode::MetricsUnavailable | ConditionCode::MetricsIncomplete),
            _,
        ) => {
            format!("{code}, and until that changes the replicas stay as they are")
        }
        Bound::Condition(code, message) if code.stops_deciding() => format!("{code}{}", cause(message)),
        Bound::Condition(code, _) => code.to_string(),
    }
}

fn step_because(step: &DecisionStep, steps: &[DecisionStep]) -> String {
    let DecisionStep { reason, from, to } = step;
    match reason {
        R::LoadProposal { kpi, value, per_replica, .. } => {
            format!("{kpi} is {}, and a replica carries {}", number(*value), number(*per_replica))
        }
        R::BurstProposal { kpi, value, per_replica, .. } => {
            format!("{kpi} has burst to {}, and a replica carries {}", number(*value), number(*per_replica))
        }
        R::UtilizationProposal { kpi, value, target, .. } => {
            format!("{kpi} averages {} against a target of {}", number(*value), number(*target))
        }
        R::WithinTolerance { kpi, value, target, .. } => {
            format!("{kpi} is {}, close enough to its target {}", number(*value), number(*target))
        }
        R::ObjectiveBreached { kpi, value, at_most, .. } => {
            format!("{} and more replicas are tried", above_limit(kpi, *value, *at_most))
        }
        R::ObjectiveSettling { kpi, value, at_most, seconds_left } => {
            let (above, time) = (above_limit(kpi, *value, *at_most), moment(*seconds_left));
            format!("{above} and the replicas added for it get {time} to take effect")
        }
        R::ObjectiveNear { kpi, value, at_most } => {
            let (value, most) = (number(*value), number(*at_most));
            format!("{kpi} is {value}, too near its limit {most} to remove a replica")
        }
        R::ScalingIneffective { kpi, value, at_most, .. } => {
            format!("{} but more replicas did not help", above_limit(kpi, *value, *at_most))
        }
        R::KpiNotFresh { kpi, why } => format!("{kpi} has no fresh sample{}", cause(why)),
        R::NoReadyReplicas { kpi } => format!("no replica is ready, and {kpi} has no meaning until one is"),
        R::ScheduleFloor { entry, .. } => format!("the schedule {entry} asks for at least {to}"),
        R::HeldWithoutEvidence { why } => {
            let fresh = format!("the fresh samples ask for {from}");
            format!("nothing is scaled down without fresh evidence{} ({fresh})", cause(why))
        }
        R::HeldOnFirstLook { .. } => {
            format!("Plimsoll has just started to observe and scales nothing down yet ({from} would do now)")
        }
        R::HeldForBurst { .. } => format!("a burst has just ended ({from} would do now)"),
        R::ScaleUpStabilized { window_seconds, limit, seconds_left } => {
            let age = seconds(window_seconds - seconds_left);
            let window = seconds(*window_seconds);
            format!(
                "only {limit} was asked for {age} ago, within the scale-up window of {window} ({from} is asked for now)"
            )
        }
        R::ScaleDownStabilized { window_seconds, limit, seconds_left, .. } => {
            let age = seconds(window_seconds - seconds_left);
            let window = seconds(*window_seconds);
            format!(
                "{limit} was asked for {age} ago, within the scale-down window of {window} ({from} would do now)"
            )
        }
        R::ScaleUpRateLimited(limit) => rate_limited(step, *limit, steps, "up"),
        R::ScaleDownRateLimited(limit) => rate_limited(step, *limit, steps, "down"),
        R::MinReplicas { .. } => format!("minReplicas is {to}{}", asked(step, steps, "only ")),
        R::MaxReplicas { .. } => format!("maxReplicas is {to}{}", asked(step, steps, "")),
        R::RequestsHeld { held } => {
            format!("{} for a replica", counted(*held, "request waits", "requests wait"))
        }
        R::ZoneLost { zones, lost, left } => {
            format!("{}, and the remaining replicas carry the load", zones_lost(zones, *lost, *left))
        }
        R::Draining { draining: going, drained, timeout_seconds, seconds_left } => {
            draining(*to, *going, *drained, *timeout_seconds, *seconds_left)
        }
        R::DrainTimedOut { .. } | R::StandbyFloor { .. } | R::ReturnFloor => step.to_string(),
        R::ScaledUp | R::ScaledDown | R::Steady => "nothing asks for another number".to_owned(),
        R::Paused if from != to => format!("spec.mode is Paused (otherwise there would be {to})"),
        R::Paused => "spec.mode is Paused".to_owned(),
        R::Observing => "spec.mode is Observe".to_owned(),
        R::ScaleFailed { why } => format!("the target's scale could not be read or written{}", cause(why)),
    }
}

/// `latency-p99 is 0.41, above its limit 0.25,`.
fn above_limit(kpi: &str, value: f64, at_most: f64) -> String {
    format!("{kpi} is {}, above its limit {},", number(value), number(at_most))
}

fn rate_limited(step: &DecisionStep, limit: RateLimit, steps: &[DecisionStep], direction: &str) -> String {
    match limit.by {
        RateRule::Disabled { .. } => format!("scaling {direction} is disabled{}", asked(step, steps, "")),
        RateRule::Policy(policy) => {
            format!("the way {direction} to {} is limited to steps of at most {policy}", step.from)
        }
    }
}

/// The demand that the limit changed: `, though throughput asks for 74`.
fn asked(bound: &DecisionStep, steps: &[DecisionStep], only: &str) -> String {
    match demand(steps) {
        Some(step) if step.to == bound.from => {
            let subject = step.reason.subject().unwrap_or("a KPI");
            format!(", though {subject} asks for {only}{}", step.to)
        }
        Some(_) => format!(", though {only}{} would be asked for", replicas(bound.from)),
        None if matches!(bound.reason, R::MinReplicas { .. }) => " and nothing asks for more".to_owned(),
        None => format!(", though otherwise there would be {}", bound.from),
    }
}
