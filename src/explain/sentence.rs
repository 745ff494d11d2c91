//! One step of a decision as a sentence.

use super::{
    fact::fact,
    failover::failover,
    number::seconds,
    outlier::outlier,
    phrase::{
        counted, detail, finite, flag, held_since, left, limit, numbers, policy, replicas, who, with,
        with_seconds,
    },
};
use plimsoll_api::{Reason, ReasonCode};

/// The step with its numbers as one short sentence without a full stop, such as
/// `throughput: 812.5 at 120 a replica asks for 7 replicas`.
#[must_use]
pub fn sentence(reason: &Reason) -> String {
    use ReasonCode as C;
    match reason.code {
        C::LoadProposal => load(reason),
        C::BurstProposal => burst(reason),
        C::UtilizationProposal => utilization(reason),
        C::WithinTolerance => within_tolerance(reason),
        C::ObjectiveBreached => format!("{}; {}", above_limit(reason), attempt(reason)),
        C::ObjectiveSettling => {
            let left = left(reason, " ", " more");
            let time = if left.is_empty() { " a moment" } else { &left };
            format!("{}; the replicas added for it get{time} to take effect", above_limit(reason))
        }
        C::ObjectiveNear => near_limit(reason),
        C::ScalingIneffective => ineffective(reason),
        C::KpiNotFresh => not_fresh(reason),
        C::EmptyMeansZero => format!("{}: the empty answer counts as 0 (onEmpty: Zero)", kpi(reason)),
        C::NoReadyReplicas => format!("{}: no replica is ready, so an average says nothing", kpi(reason)),
        C::ScheduleFloor => format!("schedule{} asks for at least {}", entry(reason), replicas(reason.to)),
        C::HeldWithoutEvidence => {
            format!("no scale-down to {} without fresh evidence{}", reason.from, detail(reason))
        }
        C::HeldOnFirstLook => {
            let left = left(reason, " for ", " more");
            format!("no scale-down to {}{left}: Plimsoll has only just begun to look", reason.from)
        }
        C::HeldForBurst => {
            let left = left(reason, " for ", " more");
            format!("no scale-down to {}{left}: a burst is only just over", reason.from)
        }
        C::ScaleUpStabilized => stabilized(reason, "lowest"),
        C::ScaleDownStabilized => stabilized(reason, "highest"),
        C::ScaleUpRateLimited => rate_limited(reason, "up"),
        C::ScaleDownRateLimited => rate_limited(reason, "down"),
        C::MinReplicas => min_replicas(reason),
        C::MaxReplicas => {
            format!("lowered from {} to maxReplicas {}", reason.from, bound(reason, "maxReplicas"))
        }
        C::RequestsHeld => {
            let held = counted(reason, "held", "request waits", "requests wait");
            format!("{held} at the load balancer for a replica, which asks for {}", replicas(reason.to))
        }
        C::ZoneLost => zone_lost(reason),
        C::Draining => draining(reason),
        C::DrainTimedOut => {
            let who = counted(reason, "draining", "replica goes", "replicas go");
            format!(
                "{who} with requests left{}",
                with_seconds(reason, "timeoutSeconds", " after ", " (drain.timeout)")
            )
        }
        C::NoOutliers
        | C::OutliersUnknown
        | C::TooFewPeers
        | C::OutlierEjected
        | C::EjectionBudgetSpent
        | C::OutlierReturned
        | C::OutlierReplaced
        | C::EvictionRefused
        | C::EvictionFailed => outlier(reason),
        C::StandbyFloor
        | C::ReturnFloor
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
        | C::StandbyNotReady => failover(reason),
        C::Steady => format!("stays at {}", replicas(reason.to)),
        C::ScaledUp => format!("scaled up from {} to {}", reason.from, replicas(reason.to)),
        C::ScaledDown => format!("scaled down from {} to {}", reason.from, replicas(reason.to)),
        C::Observing => observing(reason),
        C::Paused => paused(reason),
        C::InvalidSpec
        | C::TargetNotFound
        | C::TargetNotScalable
        | C::ScalerConflict
        | C::ScaleFailed
        | C::MetricsUnavailable
        | C::MetricsIncomplete
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
        | C::PolicyFailed => format!("{}{}", fact(reason.code), detail(reason)),
    }
}

fn kpi(reason: &Reason) -> &str {
    who(reason, "a KPI")
}

fn entry(reason: &Reason) -> String {
    reason.name.as_ref().map_or_else(String::new, |name| format!(" {name}"))
}

fn bound(reason: &Reason, key: &str) -> String {
    bound_or(reason, key, reason.to)
}

fn bound_or(reason: &Reason, key: &str, otherwise: i32) -> String {
    numbers(reason, [key]).map_or_else(|| otherwise.to_string(), |[number]| number)
}

fn load(reason: &Reason) -> String {
    let ask = replicas(reason.to);
    match numbers(reason, ["value", "perReplica"]) {
        Some([value, per]) => {
            let estimate = estimate(reason);
            format!("{}: {value}{estimate} at {per} a replica asks for {ask}", kpi(reason))
        }
        None => format!("{}{} asks for {ask}", kpi(reason), with(reason, "value", ": ", "")),
    }
}

/// What the value would be with the scrape targets that are missing, where some are.
fn estimate(reason: &Reason) -> String {
    with(reason, "estimate", " (", " with the scrape targets that are missing)")
}

fn burst(reason: &Reason) -> String {
    let per = with(reason, "perReplica", " at ", " a replica");
    let ask = replicas(reason.to);
    match numbers(reason, ["value", "average"]) {
        Some([value, average]) => {
            format!("{}: a burst to {value} (average {average}){per} asks for {ask}", kpi(reason))
        }
        None => format!("{}: a burst{}{per} asks for {ask}", kpi(reason), with(reason, "value", " to ", "")),
    }
}

fn utilization(reason: &Reason) -> String {
    let ask = format!("asks for {}{}", replicas(reason.to), absent_pods(reason));
    match numbers(reason, ["value", "target"]) {
        Some([value, target]) => format!("{}: {value} against a target of {target} {ask}", kpi(reason)),
        None => format!("{}{} {ask}", kpi(reason), with(reason, "value", ": ", "")),
    }
}

/// Pods that the average had to do without, since they explain a number that looks wrong.
fn absent_pods(reason: &Reason) -> String {
    let absent: Vec<String> = [("missing", "without a sample"), ("unready", "not ready")]
        .into_iter()
        .filter(|(key, _)| reason.number(key).is_some_and(|count| count > 0.0))
        .map(|(key, what)| with(reason, key, "", &format!(" {what}")))
        .collect();
    match (absent.is_empty(), with(reason, "ready", "", " ready, ")) {
        (true, _) => String::new(),
        (false, ready) => format!(" ({ready}{})", absent.join(", ")),
    }
}

fn within_tolerance(reason: &Reason) -> String {
    let stay = format!("so it asks for no change ({})", replicas(reason.to));
    let near = match reason.number("tolerance").filter(|tolerance| tolerance.is_finite()) {
        Some(tolerance) => format!("within {}% of", super::number(tolerance * 100.0)),
        None => "close to".to_owned(),
    };
    match numbers(reason, ["value", "target"]) {
        Some([value, target]) => {
            let estimate = estimate(reason);
            format!("{}: {value}{estimate} is {near} its target {target}, {stay}", kpi(reason))
        }
        None => format!("{} is {near} its target, {stay}", kpi(reason)),
    }
}

fn not_fresh(reason: &Reason) -> String {
    let why =
        reason.detail.as_ref().map_or_else(String::new, |why| format!(" ({})", why.trim_end_matches('.')));
    format!("{}: no fresh sample{why}, so nothing is scaled down on it", kpi(reason))
}

/// `latency-p99: 0.41 is above its limit 0.25`.
pub(super) fn above_limit(reason: &Reason) -> String {
    match numbers(reason, ["value", "atMost"]) {
        Some([value, at_most]) => format!("{}: {value} is above its limit {at_most}", kpi(reason)),
        None => format!("{} is above its limit{}", kpi(reason), with(reason, "atMost", " ", "")),
    }
}

fn attempt(reason: &Reason) -> String {
    match numbers(reason, ["attempt"]) {
        Some([attempt]) => format!("attempt {attempt} tries {}", replicas(reason.to)),
        None => format!("{} are tried", replicas(reason.to)),
    }
}

fn near_limit(reason: &Reason) -> String {
    match numbers(reason, ["value", "atMost"]) {
        Some([value, at_most]) => {
            format!("{}: {value} is near its limit {at_most}, so nothing is scaled down", kpi(reason))
        }
        None => format!("{} is near its limit, so nothing is scaled down", kpi(reason)),
    }
}

fn ineffective(reason: &Reason) -> String {
    let raise = match numbers(reason, ["raisedFrom", "raisedTo"]) {
        Some([from, to]) => format!("the raise from {from} to {to} replicas"),
        None => "the raise".to_owned(),
    };
    let before = with(reason, "before", " (", " before)");
    format!("{}; {raise} did not help{before}, so no further raise for it", above_limit(reason))
}

fn stabilized(reason: &Reason, which: &str) -> String {
    let window = with_seconds(reason, "windowSeconds", " of the last ", "");
    let since = held_since(reason).map_or_else(String::new, |age| format!(", asked for {age} ago"));
    let held = limit(reason);
    format!(
        "{} is asked for, {} for now: the {which} proposal{window} is {held}{since}",
        reason.from, reason.to
    )
}

fn rate_limited(reason: &Reason, direction: &str) -> String {
    let (from, to) = (reason.from, limit(reason));
    if flag(reason, "disabled") {
        return format!("no scale-{direction} to {from}: selectPolicy is Disabled, {to} stays");
    }
    let policy = policy(reason).map_or_else(String::new, |policy| format!(": at most {policy}"));
    format!("scale-{direction} to {from} stops at {to} for now{policy}")
}

/// `3 of 10 replicas are being drained (1 is done), 12 s so far, at most 30 s`.
pub(super) fn draining(reason: &Reason) -> String {
    let victims = bound_or(reason, "draining", reason.to - reason.from);
    let verb = if victims == "1" { "is" } else { "are" };
    let done = finite(reason, "drained").filter(|done| *done > 0.0).map_or_else(String::new, |done| {
        format!(" ({} {} done)", super::number(done), if done == 1.0 { "is" } else { "are" })
    });
    let passed = finite(reason, "timeoutSeconds").zip(finite(reason, "secondsLeft"));
    let time = passed.map_or_else(String::new, |(limit, left)| {
        format!(", {} so far, at most {}", seconds((limit - left).max(0.0)), seconds(limit))
    });
    format!("{victims} of {} {verb} being drained{done}{time}", replicas(reason.to))
}

/// Where no KPI asks for anything, minReplicas is where the number starts from.
fn min_replicas(reason: &Reason) -> String {
    let min = bound(reason, "minReplicas");
    if reason.from < reason.to {
        format!("raised from {} to minReplicas {min}", reason.from)
    } else {
        format!("nothing asks for more than minReplicas {min}")
    }
}

fn paused(reason: &Reason) -> String {
    let held = format!("mode Paused: held at {}", replicas(reason.from));
    if reason.from == reason.to { held } else { format!("{held}, where {} would be set", reason.to) }
}

fn observing(reason: &Reason) -> String {
    if reason.from == reason.to {
        format!("mode Observe: {} would stay", replicas(reason.to))
    } else {
        format!("mode Observe: would go from {} to {}, nothing is written", reason.from, replicas(reason.to))
    }
}

/// Who is lost, and what is left: `zone b is lost with 5 of 10 replicas`.
pub(super) fn lost(reason: &Reason) -> String {
    let names = reason.name.as_deref().unwrap_or_default();
    let (zones, are) = match names {
        "" => ("a zone".to_owned(), "is"),
        names if names.contains(", ") => (format!("zones {names}"), "are"),
        name => (format!("zone {name}"), "is"),
    };
    let of = match (finite(reason, "lost"), finite(reason, "left")) {
        (Some(lost), Some(left)) => {
            format!(" with {} of {} replicas", super::number(lost), super::number(lost + left))
        }
        _ => String::new(),
    };
    format!("{zones} {are} lost{of}")
}

fn zone_lost(reason: &Reason) -> String {
    if reason.from == reason.to {
        return lost(reason);
    }
    format!(
        "{}; so that those that are left carry the load, {} are asked for",
        lost(reason),
        replicas(reason.to)
    )
}
