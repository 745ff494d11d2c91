//! What would change the outcome of a decision.

use super::bound::{Bound, binding, demand};
use plimsoll_api::{
    ConditionCode as C, DecisionCode, DecisionReason as R, DecisionStep, RateLimit,
    reason::RateRule,
    text::{number, replicas, seconds},
};

/// What bound the decision and what would change it, in one to three sentences.
#[must_use]
pub fn what_would_change(steps: &[DecisionStep], unready: Option<(C, &str)>) -> String {
    let Some(bound) = binding(steps, unready) else {
        return "The first evaluation of the service will decide.".to_owned();
    };
    let observed = steps.iter().any(|step| step.reason == R::Observing && step.from != step.to);
    let is_mode = matches!(bound, Bound::Step(DecisionStep { reason: R::Observing, .. }));
    let act = if observed && !is_mode { format!(" {TO_AUTO}") } else { String::new() };
    let remedy = match bound {
        Bound::Step(step) => remedy(step, steps),
        Bound::Condition(C::MetricsUnavailable | C::MetricsIncomplete, _) => evidence("", steps),
        Bound::Condition(code, _) => correction(code).to_owned(),
    };
    remedy + &act
}

const TO_AUTO: &str = "Set spec.mode to Auto to let Plimsoll act.";
const AFTER_START: &str =
    "this hold follows a start or a change of leader, until the samples justify a scale-down";
const NOTHING_BINDS: &str =
    "No limit applies: the number of replicas changes when a KPI or the spec changes.";

fn remedy(step: &DecisionStep, steps: &[DecisionStep]) -> String {
    let DecisionStep { reason, to, .. } = step;
    match reason {
        R::LoadProposal { kpi, per_replica, .. } => load(kpi, *per_replica, *to),
        R::BurstProposal { kpi, average, .. } => format!(
            "{kpi} must fall towards its average of {}, which ends the burst; or give each replica more to carry (perReplica).",
            number(*average)
        ),
        R::UtilizationProposal { kpi, target, .. } => format!(
            "It follows {kpi}: less work for each replica, or another target than {}.",
            number(*target)
        ),
        R::WithinTolerance { kpi, least, most, .. } => {
            let (least, most) = (number(*least), number(*most));
            format!("{kpi} must leave {least} to {most} (the tolerances around its target).")
        }
        R::ObjectiveBreached { kpi, at_most, .. } => format!(
            "{kpi} must fall to at most {}; until then more replicas are tried while they help.",
            number(*at_most)
        ),
        R::ObjectiveSettling { kpi, seconds_left, .. } => {
            let left = if *seconds_left > 0.0 {
                format!(" ({} more)", seconds(*seconds_left))
            } else {
                String::new()
            };
            format!("Once the added replicas have had time to take effect{left}, {kpi} is evaluated again.")
        }
        R::ObjectiveNear { kpi, at_most, .. } => {
            format!("{kpi} must fall well below its limit {} before a replica is removed.", number(*at_most))
        }
        R::ScalingIneffective { kpi, at_most, .. } => format!(
            "{kpi} must fall to at most {}, but replicas do not help: look for another cause (a dependency, a lock, an error that is \
             not overload).",
            number(*at_most)
        ),
        R::KpiNotFresh { why, .. } | R::HeldWithoutEvidence { why } => evidence(why, steps),
        R::NoReadyReplicas { .. } => {
            "A replica must become ready before the average has a meaning: check the pods' events.".to_owned()
        }
        R::ScheduleFloor { entry, .. } => {
            format!("The schedule {entry} must end, or have a lower minReplicas.")
        }
        R::HeldOnFirstLook { seconds_left } => hold(*to, *seconds_left, AFTER_START),
        R::HeldForBurst { seconds_left } => {
            hold(*to, *seconds_left, "a burst has just ended and may come back")
        }
        R::ScaleUpStabilized { window_seconds, limit, seconds_left } => {
            let window = format!("scaleUp.stabilizationWindowSeconds {}", number(*window_seconds));
            stabilized(
                *to,
                &format!("only {limit}"),
                *limit,
                &window,
                window_seconds - seconds_left,
                *seconds_left,
            )
        }
        R::ScaleDownStabilized { window_seconds, limit, seconds_left, range_seconds } => {
            let window = match range_seconds {
                Some(range) => {
                    format!("a fall counts once it fills the range of its query, {}", seconds(*range))
                }
                None => format!("scaleDown.stabilizationWindowSeconds {}", number(*window_seconds)),
            };
            stabilized(*to, &limit.to_string(), *limit, &window, window_seconds - seconds_left, *seconds_left)
        }
        R::ScaleUpRateLimited(limit) => rate_limited(step, limit, "scaleUp"),
        R::ScaleDownRateLimited(limit) => rate_limited(step, limit, "scaleDown"),
        R::MinReplicas { min_replicas } => format!(
            "minReplicas {min_replicas} holds: {}. Lower spec.minReplicas for fewer.",
            asks(step, steps)
        ),
        R::MaxReplicas { max_replicas } => max_replicas_binds(step, *max_replicas, steps),
        R::RequestsHeld { .. } => "Once the held requests are served, the KPIs decide again.".to_owned(),
        R::ZoneLost { .. } => {
            "Once the zone serves again, or its pods are replaced elsewhere, the KPIs decide again."
                .to_owned()
        }
        R::Draining { seconds_left, .. } => {
            let latest = if *seconds_left > 0.0 {
                format!(", at the latest in {}", seconds(*seconds_left))
            } else {
                String::new()
            };
            format!(
                "They are removed once every balancer reports them drained{latest}; a scale-up cancels the drain."
            )
        }
        R::DrainTimedOut { .. } => "A longer spec.traffic.drain.timeout gives requests more time.".to_owned(),
        R::StandbyFloor { .. } => {
            "It ends once the other service has its requests back and the scale-down window has passed."
                .to_owned()
        }
        R::ReturnFloor => "Once all requests have returned, the KPIs decide again.".to_owned(),
        R::Steady | R::ScaledUp | R::ScaledDown => NOTHING_BINDS.to_owned(),
        R::Observing => TO_AUTO.to_owned(),
        R::Paused => {
            "Set spec.mode to Auto to let Plimsoll act, or to Observe to see what it would do.".to_owned()
        }
        R::ScaleFailed { .. } => {
            "Plimsoll retries; check the operator's permissions on the scale.".to_owned()
        }
    }
}

/// The remedy for a condition.
fn correction(code: C) -> &'static str {
    match code {
        C::InvalidSpec => "Correct the field that is named in the message.",
        C::TargetNotFound => "Create the target, or correct spec.scaleTargetRef.",
        C::TargetNotScalable => "Name a workload that has a scale subresource in spec.scaleTargetRef.",
        C::ScalerConflict => "Delete the other scaler, or set spec.mode to Observe.",
        C::MetricsUnavailable | C::MetricsIncomplete => {
            "Fresh samples are needed: check the query, its scrape targets and Prometheus."
        }
        C::MetricsFresh
        | C::WithinLimits
        | C::ZonesServing
        | C::BalancersInSync
        | C::HeadroomLeft
        | C::RouteInSync
        | C::RouteChanged => NOTHING_BINDS,
        C::Progressing => "Wait for the replicas that are starting.",
        C::BalancersStarting => "Wait for the balancers' pods; their events have the cause of a delay.",
        C::BalancerOutOfSync => "Correct the cause in the message; the balancer retries.",
        C::BalancersSaturated => {
            "Raise spec.traffic.replicas, or the resources of spec.traffic.container; or let an autoscaler set the replicas."
        }
        C::RouteProgressing => {
            "Wait for the Gateway's controller; the status of the HTTPRoute has its progress."
        }
        C::RouteNotFound => "Create the HTTPRoute, or correct spec.traffic.gateway.httpRoute.",
        C::RouteRefused => "Correct the rule as the message says; Plimsoll adds and removes no backends.",
        C::RouteNotAccepted => "Correct what the Gateway's controller reports on the HTTPRoute.",
        C::RouteNotServing => {
            "Check the Gateway: it does not behave as its status reports. Plimsoll tests it again."
        }
        C::RouteFailed => "Plimsoll retries; check the operator's permissions on httproutes.",
        C::PolicyNotServed => {
            "Install Envoy Gateway's resource definitions, or leave out the fields that the message names."
        }
        C::PolicyNotAccepted => "Correct what the Gateway's controller reports on the BackendTrafficPolicy.",
        C::BalancersFailed | C::PolicyFailed => "Correct what the message names; Plimsoll retries.",
    }
}

fn load(kpi: &str, per_replica: f64, to: i32) -> String {
    let carry = |count: i32| number(f64::from(count) * per_replica);
    match to {
        ..=0 => format!("It follows {kpi}: anything above 0 asks for a replica."),
        1 => format!(
            "It follows {kpi}: one replica carries {}. More than that, or another perReplica, changes the number.",
            carry(1)
        ),
        _ => format!(
            "It follows {kpi}: {} carry {}, {} carry {}. More or less of it, or another perReplica, changes the number.",
            replicas(to),
            carry(to),
            to - 1,
            carry(to - 1)
        ),
    }
}

/// The samples that must become fresh: of the KPIs without fresh ones, else by the reason `why`.
fn evidence(why: &str, steps: &[DecisionStep]) -> String {
    let names: Vec<&str> = steps
        .iter()
        .filter(|step| step.code() == DecisionCode::KpiNotFresh)
        .filter_map(|step| step.reason.subject())
        .collect();
    let missing = match (names.is_empty(), why) {
        (false, _) => format!(" of {} are needed", names.join(", ")),
        (true, "") => " are needed".to_owned(),
        (true, why) => format!(" are needed ({})", why.trim_end_matches('.')),
    };
    format!("Fresh samples{missing}: check the query, its scrape targets and Prometheus.")
}

fn hold(to: i32, left: f64, why: &str) -> String {
    if left > 0.0 {
        format!("It stays at {to} for {} more: {why}.", seconds(left))
    } else {
        format!("The hold has ended ({why}): the next evaluation decides again.")
    }
}

fn stabilized(to: i32, held: &str, limit: i32, window: &str, age: f64, left: f64) -> String {
    if left > 0.0 {
        let (left, age) = (seconds(left), seconds(age));
        format!("It stays at {to} for {left} more: {held} was needed {age} ago ({window}).")
    } else {
        format!("The proposal of {limit} has left the window ({window}): the next evaluation decides again.")
    }
}

fn rate_limited(step: &DecisionStep, limit: &RateLimit, direction: &str) -> String {
    let (wanted, held) = (step.from, limit.limit);
    match limit.by {
        RateRule::Disabled { .. } => format!(
            "Set behavior.{direction}.selectPolicy to Max or Min: Disabled keeps it at {held} instead of {wanted}."
        ),
        RateRule::Policy(policy) => format!(
            "It continues to {wanted} as the policy allows (at most {policy}); faster with larger behavior.{direction}.policies."
        ),
    }
}

fn max_replicas_binds(step: &DecisionStep, max: i32, steps: &[DecisionStep]) -> String {
    let or = match demand(steps).map(DecisionStep::code) {
        Some(DecisionCode::LoadProposal | DecisionCode::BurstProposal) => {
            ", or give each replica more to carry (perReplica)"
        }
        Some(DecisionCode::UtilizationProposal) => ", or let each replica be busier (target)",
        Some(DecisionCode::ScheduleFloor) => ", or lower the schedule's minReplicas",
        _ => "",
    };
    format!("maxReplicas {max} binds: {}. Raise spec.maxReplicas{or}.", asks(step, steps))
}

/// `throughput asks for 74`; without a name if a limit in between changed the number.
fn asks(bound: &DecisionStep, steps: &[DecisionStep]) -> String {
    match demand(steps) {
        Some(step) if step.to == bound.from => {
            format!("{} asks for {}", step.reason.subject().unwrap_or("a KPI"), bound.from)
        }
        Some(_) => format!("{} would do otherwise", bound.from),
        None => "nothing asks for more".to_owned(),
    }
}
