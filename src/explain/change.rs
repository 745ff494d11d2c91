//! What bound a decision and what would have to change for another outcome.

use super::{
    number::{number, seconds},
    phrase::{finite, flag, held_since, left, limit, numbers, policy, replicas, who, with},
    step::{binding, demand},
};
use plimsoll_api::{Reason, ReasonCode};

/// What bound the decision and what would change it, in one to three sentences.
#[must_use]
pub fn what_would_change(reasons: &[Reason]) -> String {
    let Some(bound) = binding(reasons) else {
        return "Nothing was decided yet: the next look does.".to_owned();
    };
    let observed =
        reasons.iter().any(|reason| reason.code == ReasonCode::Observing && reason.from != reason.to);
    let act =
        if observed && bound.code != ReasonCode::Observing { format!(" {TO_AUTO}") } else { String::new() };
    remedy(bound, reasons) + &act
}

const TO_AUTO: &str = "Set spec.mode to Auto to let Plimsoll act.";
const AFTER_START: &str =
    "this hold follows a start or a change of leader, until there is evidence to shrink on";

fn remedy(bound: &Reason, reasons: &[Reason]) -> String {
    use ReasonCode as C;
    let fixed = match bound.code {
        C::LoadProposal => return load(bound),
        C::BurstProposal => return burst(bound),
        C::UtilizationProposal => return utilization(bound),
        C::WithinTolerance => return within_tolerance(bound),
        C::ObjectiveBreached => return breached(bound),
        C::ObjectiveSettling => return settling(bound),
        C::ObjectiveNear => return near(bound),
        C::ScalingIneffective => return ineffective(bound),
        C::KpiNotFresh | C::HeldWithoutEvidence => return evidence(bound, reasons),
        C::MetricsUnavailable | C::MetricsIncomplete => return evidence(bound, reasons),
        C::ScheduleFloor => return schedule(bound),
        C::HeldOnFirstLook => return hold(bound, AFTER_START),
        C::HeldForBurst => return hold(bound, "a burst is only just over and may come back"),
        C::ScaleUpStabilized => return stabilized(bound, "scaleUp"),
        C::ScaleDownStabilized => return stabilized(bound, "scaleDown"),
        C::ScaleUpRateLimited => return rate_limited(bound, "scaleUp"),
        C::ScaleDownRateLimited => return rate_limited(bound, "scaleDown"),
        C::MinReplicas => return min_replicas(bound, reasons),
        C::MaxReplicas => return max_replicas(bound, reasons),
        C::RequestsHeld => "Once the requests that wait are served, the KPIs decide again.",
        C::ZoneLost => {
            "Once the zone serves again, or its pods were replaced elsewhere, the KPIs decide again."
        }
        C::Draining => return draining(bound),
        C::DrainTimedOut => "A longer spec.traffic.drain.timeout gives requests more time.",
        C::BalancersStarting => "Wait for the balancers' pods; their events say what they wait for.",
        C::BalancerOutOfSync => "The message says what is in the way; the balancer tries again by itself.",
        C::BalancersFailed => "Correct what the message names; Plimsoll tries again by itself.",
        C::RouteProgressing => {
            "Wait for the Gateway's controller; the status of the HTTPRoute says how far it is."
        }
        C::RouteNotFound => "Create the HTTPRoute, or correct spec.traffic.gateway.httpRoute.",
        C::RouteRefused => "Correct the rule as the message says; Plimsoll adds and removes no backends.",
        C::RouteNotAccepted => "Correct what the Gateway's controller says of the HTTPRoute.",
        C::RouteNotServing => {
            "Look at the Gateway: it does not do what its status says. Plimsoll asks again by itself."
        }
        C::RouteFailed => "Plimsoll tries again by itself; check the operator's rights on httproutes.",
        C::PolicyNotServed => {
            "Install Envoy Gateway's resource definitions, or leave out the fields that the message names."
        }
        C::PolicyNotAccepted => "Correct what the Gateway's controller says of the BackendTrafficPolicy.",
        C::PolicyFailed => "Correct what the message names; Plimsoll tries again by itself.",
        C::NoOutliers | C::OutlierReturned | C::OutlierReplaced => {
            "Nothing binds: all replicas do their work."
        }
        C::OutliersUnknown => {
            "Check spec.recovery.outliers.kpiByPod.query, its scrape targets and Prometheus."
        }
        C::TooFewPeers => "Replicas are judged once four of them have a number.",
        C::OutlierEjected => "It is replaced, or comes back when its time is over.",
        C::EjectionBudgetSpent => {
            "Look for what the replicas have in common; a higher spec.recovery.outliers.maxEjectionPercent allows more."
        }
        C::EvictionRefused => {
            "Plimsoll tries again by itself; the PodDisruptionBudget must allow a disruption."
        }
        C::EvictionFailed => "Plimsoll tries again by itself; check the operator's rights on pods/eviction.",
        C::StandbyFloor => {
            "It ends when the other service has its requests back, and the scale-down window is over."
        }
        C::ReturnFloor => "Once all requests are back, the KPIs decide again.",
        C::PrimaryServes | C::StandbyReady => {
            "Nothing binds: requests stay while the replicas do their work."
        }
        C::PrimaryFailing | C::MovingToStandby => "The signs of failure must go away: look at the replicas.",
        C::NoStandbyReady | C::StandbyNotReady => "What keeps the standby from being ready must be mended.",
        C::FleetLimit => {
            "It is looked at again within a minute; see what the services that fail have in common."
        }
        C::StandbyServes | C::MovingToPrimary => {
            "Requests come back as spec.failover.return says, or by `kubectl plimsoll failover NAME --to primary`."
        }
        C::SwitchLimit => {
            "An hour after the first switch; or `kubectl plimsoll failover NAME --to BACKEND` moves them."
        }
        C::EvidenceUnknown => "Check the KPIs of spec.failover.leave, and Prometheus.",
        C::FrozenByAnnotation | C::MovedByAnnotation => {
            "`kubectl plimsoll unfreeze NAME` hands it back to the evidence."
        }
        C::EmptyMeansZero => "The query must find series in Prometheus.",
        C::NoReadyReplicas => {
            "A replica must become ready before the average says anything: look at the pods' events."
        }
        C::Steady
        | C::ScaledUp
        | C::ScaledDown
        | C::MetricsFresh
        | C::WithinLimits
        | C::ZonesServing
        | C::BalancersInSync
        | C::HeadroomLeft
        | C::RouteInSync
        | C::RouteChanged => "Nothing binds: it changes when a KPI or the spec does.",
        C::BalancersSaturated => {
            "Raise spec.traffic.replicas, or the resources of spec.traffic.container; or let an autoscaler have the replicas."
        }
        C::Observing => TO_AUTO,
        C::Paused => "Set spec.mode to Auto to let Plimsoll act, or to Observe to see what it would do.",
        C::InvalidSpec => "Correct the field that is named in the message.",
        C::TargetNotFound => "Create the target, or correct spec.scaleTargetRef.",
        C::TargetNotScalable => "Name a workload that has a scale subresource in spec.scaleTargetRef.",
        C::ScalerConflict => "Delete the other scaler, or set spec.mode to Observe.",
        C::ScaleFailed => "Plimsoll tries again by itself; check the operator's rights on the scale.",
        C::Progressing => "Wait for the replicas that are starting.",
    };
    fixed.to_owned()
}

fn kpi(bound: &Reason) -> &str {
    who(bound, "a KPI")
}

fn burst(bound: &Reason) -> String {
    let average = with(bound, "average", " towards its average of ", "");
    format!(
        "{} must come back{average}, which ends the burst; or give each replica more to carry (perReplica).",
        kpi(bound)
    )
}

fn utilization(bound: &Reason) -> String {
    let target = with(bound, "target", " than ", "");
    format!("It follows {}: less work for each replica, or another target{target}.", kpi(bound))
}

fn breached(bound: &Reason) -> String {
    let limit = to_limit(bound);
    format!("{} must come back{limit}; until then more replicas are tried, as long as they help.", kpi(bound))
}

fn settling(bound: &Reason) -> String {
    let left = left(bound, " (", " more)");
    format!("Once the added replicas have had their time{left}, {} is judged again.", kpi(bound))
}

fn near(bound: &Reason) -> String {
    let limit = with(bound, "atMost", " ", "");
    format!("{} must fall well below its limit{limit} before a replica is given up.", kpi(bound))
}

fn ineffective(bound: &Reason) -> String {
    format!(
        "{} must come back{}, but not by replicas: look for what else is in the way (a dependency, a lock, an error \
         that is not overload).",
        kpi(bound),
        to_limit(bound)
    )
}

fn load(bound: &Reason) -> String {
    let who = kpi(bound);
    let per = finite(bound, "perReplica");
    let carried = per.map(|per| [bound.to, bound.to - 1].map(|count| number(f64::from(count) * per)));
    match carried {
        Some([all, fewer]) if bound.to > 1 => format!(
            "It follows {who}: {} carry {all}, {} carry {fewer}. More or less of it, or another perReplica, changes the number.",
            replicas(bound.to),
            bound.to - 1
        ),
        _ if bound.to == 0 => format!("It follows {who}: anything above 0 asks for a replica."),
        Some([all, _]) if bound.to == 1 => {
            format!(
                "It follows {who}: one replica carries {all}. More than that, or another perReplica, changes the number."
            )
        }
        _ => format!("It follows {who}: more or less of it, or another perReplica, changes the number."),
    }
}

fn within_tolerance(bound: &Reason) -> String {
    let who = kpi(bound);
    match numbers(bound, ["least", "most"]) {
        Some([least, most]) => {
            format!("{who} must leave {least} to {most} (the tolerances around its target).")
        }
        None => format!("{who} must move further from its target than the tolerance."),
    }
}

fn to_limit(bound: &Reason) -> String {
    with(bound, "atMost", " to at most ", "")
}

fn draining(bound: &Reason) -> String {
    let latest = left(bound, ", at the latest in ", "");
    format!(
        "They go once every balancer says that their last request is over{latest}; a raise takes it back."
    )
}

/// Names what has to be fresh again: the KPIs that were found not to be, else what the reason itself says.
fn evidence(bound: &Reason, reasons: &[Reason]) -> String {
    let of = |reason: &&Reason| reason.code == ReasonCode::KpiNotFresh;
    let names: Vec<&str> = reasons.iter().filter(of).filter_map(|reason| reason.name.as_deref()).collect();
    let missing = match (names.is_empty(), &bound.detail) {
        (false, _) => format!(" of {} are needed", names.join(", ")),
        (true, Some(detail)) => format!(" are needed ({})", detail.trim_end_matches('.')),
        (true, None) => " are needed".to_owned(),
    };
    format!("Fresh samples{missing}: check the query, its scrape targets and Prometheus.")
}

fn schedule(bound: &Reason) -> String {
    match &bound.name {
        Some(name) => format!("The schedule {name} must end, or have a lower minReplicas."),
        None => "The schedule must end, or have a lower minReplicas.".to_owned(),
    }
}

fn hold(bound: &Reason, why: &str) -> String {
    let stays = format!("It stays at {}", bound.to);
    match finite(bound, "secondsLeft") {
        Some(left) if left > 0.0 => format!("{stays} for {} more: {why}.", seconds(left)),
        Some(_) => format!("The hold is over by now ({why}): the next look decides again."),
        None => format!("{stays} for a while: {why}."),
    }
}

fn stabilized(bound: &Reason, direction: &str) -> String {
    let (held, stays) = (limit(bound), bound.to);
    let only = if direction == "scaleUp" { "only " } else { "" };
    let window = match finite(bound, "rangeSeconds") {
        Some(range) => {
            format!("a fall counts once it fills the range of its query, {}", seconds(range))
        }
        None => format!("{direction}.stabilizationWindowSeconds{}", with(bound, "windowSeconds", " ", "")),
    };
    let needed = match held_since(bound) {
        Some(age) => format!("{only}{held} was needed {age} ago"),
        None => format!("{only}{held} was needed within the window"),
    };
    match finite(bound, "secondsLeft") {
        Some(left) if left > 0.0 => {
            format!("It stays at {stays} for {} more: {needed} ({window}).", seconds(left))
        }
        Some(_) => format!(
            "The proposal that held {held} has left the window by now ({window}): the next look decides again."
        ),
        None => format!("It stays at {stays} for now: {needed} ({window})."),
    }
}

fn rate_limited(bound: &Reason, direction: &str) -> String {
    let (wanted, held) = (bound.from, limit(bound));
    if flag(bound, "disabled") {
        return format!(
            "Set behavior.{direction}.selectPolicy to Max or Min: Disabled keeps it at {held} instead of {wanted}."
        );
    }
    let policy = policy(bound).map_or_else(String::new, |policy| format!(" (at most {policy})"));
    format!(
        "It goes on to {wanted} by itself as the policy allows{policy}; faster with larger behavior.{direction}.policies."
    )
}

fn min_replicas(bound: &Reason, reasons: &[Reason]) -> String {
    let min = numbers(bound, ["minReplicas"]).map_or_else(|| bound.to.to_string(), |[min]| min);
    format!("minReplicas {min} holds: {}. Lower spec.minReplicas for fewer.", asks(bound, reasons))
}

fn max_replicas(bound: &Reason, reasons: &[Reason]) -> String {
    use ReasonCode as C;
    let max = numbers(bound, ["maxReplicas"]).map_or_else(|| bound.to.to_string(), |[max]| max);
    let or = match demand(reasons).map(|reason| reason.code) {
        Some(C::LoadProposal | C::BurstProposal) => ", or give each replica more to carry (perReplica)",
        Some(C::UtilizationProposal) => ", or let each replica be busier (target)",
        Some(C::ScheduleFloor) => ", or lower the schedule's minReplicas",
        _ => "",
    };
    format!("maxReplicas {max} binds: {}. Raise spec.maxReplicas{or}.", asks(bound, reasons))
}

/// `throughput asks for 74`; without a name if a limit in between changed the number.
fn asks(bound: &Reason, reasons: &[Reason]) -> String {
    match demand(reasons) {
        Some(reason) if reason.to == bound.from => {
            format!("{} asks for {}", who(reason, "a KPI"), bound.from)
        }
        Some(_) => format!("{} would do otherwise", bound.from),
        None => "nothing asks for more".to_owned(),
    }
}
