//! The step that bound a decision as the answer to "why this many?".

use super::{
    fact::fact,
    phrase::{
        counted, detail, flag, held_since, left, limit, numbers, policy, replicas, who, with, with_seconds,
    },
    sentence::{above_limit, draining, lost, sentence},
    step::demand,
};
use plimsoll_api::{Reason, ReasonCode};

/// A clause that follows `because`, for the step `bound` of the decision `reasons`.
#[must_use]
pub fn because(bound: &Reason, reasons: &[Reason]) -> String {
    use ReasonCode as C;
    let who = who(bound, "a KPI");
    match bound.code {
        C::LoadProposal | C::BurstProposal => load(bound),
        C::UtilizationProposal => utilization(bound),
        C::WithinTolerance => match numbers(bound, ["value", "target"]) {
            Some([value, target]) => format!("{who} is {value}, close enough to its target {target}"),
            None => format!("{who} is close enough to its target"),
        },
        C::ObjectiveBreached => format!("{} and more replicas are tried", plain(bound)),
        C::ObjectiveSettling => {
            let left = left(bound, " ", " more");
            let time = if left.is_empty() { " a moment" } else { &left };
            format!("{} and the replicas added for it get{time} to take effect", plain(bound))
        }
        C::ObjectiveNear => match numbers(bound, ["value", "atMost"]) {
            Some([value, most]) => {
                format!("{who} is {value}, too near its limit {most} to give any replica up")
            }
            None => format!("{who} is too near its limit to give any replica up"),
        },
        C::ScalingIneffective => format!("{} but more replicas did not help", plain(bound)),
        C::KpiNotFresh => format!("{who} has no fresh sample{}", detail(bound)),
        C::NoReadyReplicas => format!("no replica is ready, and {who} says nothing until one is"),
        C::EmptyMeansZero => format!("{who} has no series, which counts as 0"),
        C::ScheduleFloor => match &bound.name {
            Some(name) => format!("the schedule {name} asks for at least {}", bound.to),
            None => format!("a schedule asks for at least {}", bound.to),
        },
        C::HeldWithoutEvidence => {
            let by_the_rest = format!("by what is known {} would do", bound.from);
            format!("nothing is scaled down without fresh evidence{} ({by_the_rest})", detail(bound))
        }
        C::HeldOnFirstLook => {
            format!(
                "Plimsoll has only just begun to look and scales nothing down yet (here to {})",
                bound.from
            )
        }
        C::HeldForBurst => format!("a burst is only just over ({} would do now)", bound.from),
        C::ScaleUpStabilized | C::ScaleDownStabilized => stabilized(bound),
        C::ScaleUpRateLimited => rate_limited(bound, reasons, "up"),
        C::ScaleDownRateLimited => rate_limited(bound, reasons, "down"),
        C::MinReplicas => format!("minReplicas is {}{}", bound.to, asked(bound, reasons, "only ")),
        C::MaxReplicas => format!("maxReplicas is {}{}", bound.to, asked(bound, reasons, "")),
        C::RequestsHeld => {
            format!("{} for a replica", counted(bound, "held", "request waits", "requests wait"))
        }
        C::ZoneLost => format!("{}, and those that are left carry the load", lost(bound)),
        C::Draining => draining(bound),
        C::DrainTimedOut | C::StandbyFloor | C::ReturnFloor => sentence(bound),
        C::ScaledUp | C::ScaledDown | C::Steady => "nothing asks for another number".to_owned(),
        C::Paused if bound.from != bound.to => {
            format!("spec.mode is Paused (otherwise there would be {})", bound.to)
        }
        C::MetricsUnavailable | C::MetricsIncomplete => {
            format!("{}, and until that changes the replicas stay as they are", fact(bound.code))
        }
        C::Observing
        | C::Paused
        | C::InvalidSpec
        | C::TargetNotFound
        | C::TargetNotScalable
        | C::ScalerConflict
        | C::ScaleFailed
        | C::MetricsFresh
        | C::WithinLimits
        | C::Progressing
        | C::ZonesServing
        | C::BalancersInSync
        | C::BalancersStarting
        | C::HeadroomLeft
        | C::BalancersSaturated
        | C::BalancerOutOfSync
        | C::BalancersFailed
        | C::RouteInSync
        | C::RouteChanged
        | C::RouteProgressing
        | C::RouteNotFound
        | C::RouteRefused
        | C::RouteNotAccepted
        | C::RouteNotServing
        | C::RouteFailed
        | C::PolicyNotServed
        | C::PolicyNotAccepted
        | C::PolicyFailed
        | C::NoOutliers
        | C::OutliersUnknown
        | C::TooFewPeers
        | C::OutlierEjected
        | C::EjectionBudgetSpent
        | C::OutlierReturned
        | C::OutlierReplaced
        | C::EvictionRefused
        | C::EvictionFailed
        | C::PrimaryServes
        | C::PrimaryFailing
        | C::NoStandbyReady
        | C::FleetLimit
        | C::MovingToStandby
        | C::StandbyServes
        | C::MovingToPrimary
        | C::SwitchLimit
        | C::EvidenceUnknown
        | C::FrozenByAnnotation
        | C::MovedByAnnotation
        | C::StandbyReady
        | C::StandbyNotReady => format!("{}{}", fact(bound.code), detail(bound)),
    }
}

fn load(bound: &Reason) -> String {
    let who = who(bound, "a KPI");
    let verb = if bound.code == ReasonCode::BurstProposal { "has burst to" } else { "is" };
    match numbers(bound, ["value", "perReplica"]) {
        Some([value, per]) => format!("{who} {verb} {value}, and a replica carries {per}"),
        None => format!("{who} asks for {}{}", bound.to, with(bound, "value", " (", ")")),
    }
}

fn utilization(bound: &Reason) -> String {
    let who = who(bound, "a KPI");
    match numbers(bound, ["value", "target"]) {
        Some([value, target]) => format!("{who} averages {value} against a target of {target}"),
        None => format!("{who} asks for {}{}", bound.to, with(bound, "value", " (", ")")),
    }
}

/// The breach without the colon of a step: `latency-p99 is 0.41, above its limit 0.25,`.
fn plain(bound: &Reason) -> String {
    match numbers(bound, ["value", "atMost"]) {
        Some([value, most]) => format!("{} is {value}, above its limit {most},", who(bound, "a KPI")),
        None => above_limit(bound),
    }
}

fn stabilized(bound: &Reason) -> String {
    let direction = if bound.code == ReasonCode::ScaleUpStabilized { "up" } else { "down" };
    let window = with_seconds(bound, "windowSeconds", " of ", "");
    let held = limit(bound);
    let (only, now) = match direction {
        "up" => ("only ", format!("{} is asked for now", bound.from)),
        _ => ("", format!("{} would do now", bound.from)),
    };
    let age = held_since(bound).map_or_else(|| " ".to_owned(), |age| format!(" {age} ago, "));
    format!("{only}{held} was asked for{age}within the scale-{direction} window{window} ({now})")
}

fn rate_limited(bound: &Reason, reasons: &[Reason], direction: &str) -> String {
    if flag(bound, "disabled") {
        return format!("scaling {direction} is disabled{}", asked(bound, reasons, ""));
    }
    let at_most = policy(bound).map_or_else(String::new, |policy| format!(" of at most {policy}"));
    format!("the way {direction} to {} is limited to steps{at_most}", bound.from)
}

/// Who asked for what the limit changed: `, though throughput asks for 74`.
fn asked(bound: &Reason, reasons: &[Reason], only: &str) -> String {
    match demand(reasons) {
        Some(reason) if reason.to == bound.from => {
            format!(", though {} asks for {only}{}", who(reason, "a KPI"), reason.to)
        }
        Some(_) => format!(", though {only}{} would be asked for", replicas(bound.from)),
        None if bound.code == ReasonCode::MinReplicas => " and nothing asks for more".to_owned(),
        None => format!(", though otherwise there would be {}", bound.from),
    }
}
