//! A step of a decision as a sentence without a full stop, such as
//! `throughput: 812.5 at 120 per replica asks for 7 replicas`.

use std::fmt;

use super::{
    DecisionReason as R, DecisionStep,
    decision::{Measured, RateLimit, RatePolicy, RateRule},
};
use crate::text::{cause, counted, number, replicas, seconds};

impl fmt::Display for DecisionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, from, to } = self;
        let ask = replicas(*to);
        match reason {
            R::LoadProposal { kpi, value, per_replica, estimate } => {
                let (value, per, estimate) = (number(*value), number(*per_replica), with_missing(*estimate));
                write!(f, "{kpi}: {value}{estimate} at {per} per replica asks for {ask}")
            }
            R::BurstProposal { kpi, value, average, per_replica } => {
                let (value, average, per) = (number(*value), number(*average), number(*per_replica));
                write!(f, "{kpi}: a burst to {value} (average {average}) at {per} per replica asks for {ask}")
            }
            R::UtilizationProposal { kpi, value, target, pods } => {
                let (value, target, absent) = (number(*value), number(*target), pods.absent());
                write!(f, "{kpi}: {value} against a target of {target} asks for {ask}{absent}")
            }
            R::WithinTolerance { kpi, value, estimate, target, tolerance, .. } => {
                let (value, target, estimate) = (number(*value), number(*target), with_missing(*estimate));
                let near = number(tolerance * 100.0);
                write!(
                    f,
                    "{kpi}: {value}{estimate} is within {near}% of its target {target}, so it asks for no change ({ask})"
                )
            }
            R::ObjectiveBreached { kpi, value, at_most, attempt } => {
                write!(f, "{}; attempt {attempt} tries {ask}", above_limit(kpi, *value, *at_most))
            }
            R::ObjectiveSettling { kpi, value, at_most, seconds_left } => write!(
                f,
                "{}; the replicas added for it get {} to take effect",
                above_limit(kpi, *value, *at_most),
                moment(*seconds_left)
            ),
            R::ObjectiveNear { kpi, value, at_most } => write!(
                f,
                "{kpi}: {} is near its limit {}, so nothing is scaled down",
                number(*value),
                number(*at_most)
            ),
            R::ScalingIneffective { kpi, value, at_most, before, raised_from, raised_to } => write!(
                f,
                "{}; the raise from {raised_from} to {raised_to} replicas did not help ({} before), so no further raise for it",
                above_limit(kpi, *value, *at_most),
                number(*before)
            ),
            R::KpiNotFresh { kpi, why } => {
                let why = why.trim_end_matches('.');
                write!(f, "{kpi}: no fresh sample ({why}), so nothing is scaled down on it")
            }
            R::NoReadyReplicas { kpi } => {
                write!(f, "{kpi}: no replica is ready, so there is no average")
            }
            R::RequestsHeld { held } => {
                let held = counted(*held, "request waits", "requests wait");
                write!(f, "{held} at the load balancer for a replica, which asks for {ask}")
            }
            R::ZoneLost { zones, lost, left } => {
                f.write_str(&zones_lost(zones, *lost, *left))?;
                if from == to {
                    return Ok(());
                }
                write!(f, "; to carry the load without the lost replicas, the service needs {ask}")
            }
            R::ScheduleFloor { entry, .. } => write!(f, "schedule {entry} asks for at least {ask}"),
            R::HeldWithoutEvidence { why } => {
                write!(f, "no scale-down to {from} without fresh evidence{}", cause(why))
            }
            R::HeldOnFirstLook { seconds_left } => {
                let left = for_more(*seconds_left);
                write!(f, "no scale-down to {from}{left}: Plimsoll has just started to observe")
            }
            R::HeldForBurst { seconds_left } => {
                let left = for_more(*seconds_left);
                write!(f, "no scale-down to {from}{left}: a burst has just ended")
            }
            R::ScaleUpStabilized { window_seconds, limit, seconds_left } => {
                f.write_str(&self.stabilized("lowest", *window_seconds, *limit, *seconds_left))
            }
            R::ScaleDownStabilized { window_seconds, limit, seconds_left, .. } => {
                f.write_str(&self.stabilized("highest", *window_seconds, *limit, *seconds_left))
            }
            R::ScaleUpRateLimited(limit) => f.write_str(&self.rate_limited("up", limit)),
            R::ScaleDownRateLimited(limit) => f.write_str(&self.rate_limited("down", limit)),
            R::StandbyFloor { asked } => {
                write!(f, "this service is a standby and needs {ask} ({asked} of them for other services)")
            }
            R::ReturnFloor => write!(f, "requests that return from a standby need {ask}"),
            // Without a proposal, the decision starts from minReplicas.
            R::MinReplicas { min_replicas } if from >= to => {
                write!(f, "nothing asks for more than minReplicas {min_replicas}")
            }
            R::MinReplicas { min_replicas } => write!(f, "raised from {from} to minReplicas {min_replicas}"),
            R::MaxReplicas { max_replicas } => {
                write!(f, "lowered from {from} to maxReplicas {max_replicas}")
            }
            R::Draining { draining: going, drained, timeout_seconds, seconds_left } => {
                f.write_str(&draining(*to, *going, *drained, *timeout_seconds, *seconds_left))
            }
            R::DrainTimedOut { draining, timeout_seconds } => {
                let removed = counted(*draining, "replica is removed", "replicas are removed");
                write!(f, "{removed} with requests left after {} (drain.timeout)", seconds(*timeout_seconds))
            }
            R::Steady => write!(f, "stays at {ask}"),
            R::ScaledUp => write!(f, "scaled up from {from} to {ask}"),
            R::ScaledDown => write!(f, "scaled down from {from} to {ask}"),
            R::Observing if from == to => write!(f, "mode Observe: {ask} would stay"),
            R::Observing => write!(f, "mode Observe: would go from {from} to {ask}, nothing is written"),
            R::Paused if from == to => write!(f, "mode Paused: held at {ask}"),
            R::Paused => write!(f, "mode Paused: held at {}, where {to} would be set", replicas(*from)),
            R::ScaleFailed { why } => {
                write!(f, "the target's scale could not be read or written{}", cause(why))
            }
        }
    }
}

impl DecisionStep {
    fn stabilized(&self, which: &str, window: f64, limit: i32, left: f64) -> String {
        let Self { from, to, .. } = self;
        let (window, age) = (seconds(window), seconds(window - left));
        format!(
            "{to} instead of {from} for now: the {which} proposal of the last {window} is {limit}, from {age} ago"
        )
    }

    fn rate_limited(&self, direction: &str, limit: &RateLimit) -> String {
        let (from, to) = (self.from, limit.limit);
        match limit.by {
            RateRule::Disabled { .. } => {
                format!("no scale-{direction} to {from}: selectPolicy is Disabled, {to} stays")
            }
            RateRule::Policy(policy) => {
                format!("scale-{direction} to {from} stops at {to} for now: at most {policy}")
            }
        }
    }
}

/// What a rate policy allows: `4 replicas in 60 s`, `50% in 15 s`.
impl fmt::Display for RatePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = seconds(f64::from(self.period_seconds));
        if self.percent {
            write!(f, "{}% in {period}", self.policy_value)
        } else {
            write!(f, "{} in {period}", replicas(self.policy_value))
        }
    }
}

impl Measured {
    /// The pods that are not in the average, since they explain an unexpected number.
    fn absent(self) -> String {
        let absent: Vec<String> = [(self.missing, "without a sample"), (self.unready, "not ready")]
            .into_iter()
            .filter(|(count, _)| *count > 0.0)
            .map(|(count, what)| format!("{} {what}", number(count)))
            .collect();
        if absent.is_empty() {
            String::new()
        } else {
            format!(" ({} ready, {})", number(self.ready), absent.join(", "))
        }
    }
}

/// The estimated value including missing scrape targets, if any.
fn with_missing(estimate: Option<f64>) -> String {
    estimate.map_or_else(String::new, |estimate| {
        format!(" ({} with the missing scrape targets)", number(estimate))
    })
}

/// `latency-p99: 0.41 is above its limit 0.25`.
fn above_limit(kpi: &str, value: f64, at_most: f64) -> String {
    format!("{kpi}: {} is above its limit {}", number(value), number(at_most))
}

/// The rest of a wait: `12 s more`, or `a moment` once it is over.
#[must_use]
pub fn moment(seconds_left: f64) -> String {
    if seconds_left > 0.0 { format!("{} more", seconds(seconds_left)) } else { "a moment".to_owned() }
}

/// ` for 12 s more`; nothing once it is over.
fn for_more(seconds_left: f64) -> String {
    if seconds_left > 0.0 { format!(" for {} more", seconds(seconds_left)) } else { String::new() }
}

/// `3 of 10 replicas are being drained (1 is done), 12 s so far, at most 30 s`.
#[must_use]
pub fn draining(of: i32, going: i32, drained: i32, timeout: f64, left: f64) -> String {
    let are = |count: i32| if count == 1 { "is" } else { "are" };
    let done = if drained > 0 { format!(" ({drained} {} done)", are(drained)) } else { String::new() };
    let (passed, limit) = (seconds((timeout - left).max(0.0)), seconds(timeout));
    format!(
        "{going} of {} {} being drained{done}, {passed} so far, at most {limit}",
        replicas(of),
        are(going)
    )
}

/// The lost zones and replicas: `zone b is lost with 5 of 10 replicas`.
#[must_use]
pub fn zones_lost(zones: &str, lost: i32, left: i32) -> String {
    let lost_zones =
        if zones.contains(", ") { format!("zones {zones} are") } else { format!("zone {zones} is") };
    format!("{lost_zones} lost with {lost} of {} replicas", lost.saturating_add(left))
}
