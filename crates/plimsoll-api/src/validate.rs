//! A spec that passed: everything parsed once, nothing that can be wrong left.
//!
//! The API server refuses most of what is refused here by its CEL rules; `decide` reads files that it never saw,
//! and a cron expression is beyond CEL.

mod checks;
mod failover;
mod gateway;
mod kpi;
mod provider;
mod recovery;
mod traffic;
mod volume;

pub use failover::{FailoverRules, SignRule};
use jiff::{SignedDuration, Timestamp};
pub use kpi::{Goal, KpiRule};
pub use recovery::OutlierRules;
use thiserror::Error;
pub use traffic::TrafficRules;
pub use volume::VolumeRule;

use self::{
    checks::{duration, text, unique},
    kpi::kpi_rule,
};
use super::{
    Criticality, GROUP, KpiType, Mode, ScalableService, ScalableServiceSpec, ScaleTargetRef, ScalingPolicy,
    ScalingRules, Schedule, SelectPolicy,
    spec::{DOWN_WINDOW_S, UP_WINDOW_S},
};
use crate::words::{key, quoted};

/// autoscaling/v2's tolerance.
const TOLERANCE: f64 = 0.1;

/// Longest text of [`Invalid`], unless its first sentence is longer.
const TOLD_MAX: usize = 800;

/// Everything that is wrong with a spec, a sentence each, with the field's path. Its text has as many of them as can be
/// read at once, and the number of the others.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", told(.0))]
pub struct Invalid(pub Vec<String>);

fn told(sentences: &[String]) -> String {
    let mut text = String::new();
    for (index, sentence) in sentences.iter().enumerate() {
        if index > 0 && text.len() + sentence.len() > TOLD_MAX {
            let left = sentences.len() - index;
            return format!("{text}; and {left} more");
        }
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(sentence);
    }
    text
}

/// A spec whose every number is known to be sound.
#[derive(Clone, Debug)]
pub struct Validated {
    /// What may be done.
    pub mode: Mode,
    /// How much the service matters.
    pub criticality: Criticality,
    /// At least 0 and at most `max_replicas`.
    pub min_replicas: i32,
    /// At least 1.
    pub max_replicas: i32,
    /// Longest time between two looks, 1 s to 10 min.
    pub period: SignedDuration,
    /// In the order of the spec; names are unique.
    pub kpis: Vec<KpiRule>,
    /// How to move upward.
    pub scale_up: MoveRules,
    /// How to move downward.
    pub scale_down: MoveRules,
    /// Floors at known times.
    pub schedule: Vec<Schedule>,
    /// What the load balancer means for the replicas; `None` without one that Plimsoll runs.
    pub traffic: Option<TrafficRules>,
    /// How replicas are judged against their peers; `None` without `spec.recovery`.
    pub outliers: Option<OutlierRules>,
    /// When requests move to a standby and back; `None` without `spec.failover`.
    pub failover: Option<FailoverRules>,
}

/// Rules of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveRules {
    /// Stabilisation window; 0 for none.
    pub window: SignedDuration,
    /// Which policy counts.
    pub select: SelectPolicy,
    /// Rate policies; none means no limit.
    pub policies: Vec<ScalingPolicy>,
    /// Relative distance from the target within which nothing moves, 0..1.
    pub tolerance: f64,
}

impl Validated {
    /// Parses and checks a service; the error has a sentence for each thing that is wrong.
    pub fn of(service: &ScalableService) -> Result<Self, Invalid> {
        let standbys = failover::no_others(service);
        let valid = Self::new(&service.spec);
        if standbys.is_empty() {
            return valid;
        }
        let others = valid.err().map(|invalid| invalid.0).unwrap_or_default();
        Err(Invalid(others.into_iter().chain(standbys).collect()))
    }

    /// Parses and checks a spec; the error has a sentence for each thing that is wrong.
    pub fn new(spec: &ScalableServiceSpec) -> Result<Self, Invalid> {
        let mut wrong = Vec::new();
        check_replicas(spec, &mut wrong);
        check_target(&spec.scale_target_ref, &mut wrong);
        let period = duration(&spec.period);
        if !(SignedDuration::from_secs(1)..=SignedDuration::from_mins(10)).contains(&period) {
            wrong.push(format!("spec.period is {}; it must be from 1s to 10m", text(&spec.period)));
        }
        unique("spec.kpis", spec.kpis.iter().map(|kpi| kpi.name.as_str()), &mut wrong);
        unique("spec.schedule", spec.schedule.iter().map(|entry| entry.name.as_str()), &mut wrong);
        let mut kpis: Vec<KpiRule> = spec
            .kpis
            .iter()
            .enumerate()
            .filter_map(|(index, kpi)| kpi_rule(index, kpi, &mut wrong))
            .collect();
        let scale_up = move_rules("scaleUp", &spec.behavior.scale_up, UP_WINDOW_S, &mut wrong);
        let scale_down = move_rules("scaleDown", &spec.behavior.scale_down, DOWN_WINDOW_S, &mut wrong);
        let schedule = schedules(spec, &mut wrong);
        let balanced = spec.balanced();
        let traffic = balanced.map(|traffic| traffic::rules(traffic, &mut wrong));
        let outliers = spec
            .recovery
            .as_ref()
            .and_then(|recovery| recovery::rules(recovery, balanced.is_some(), &mut wrong));
        let failover = spec.failover.as_ref().map(|failover| failover::rules(failover, spec, &mut wrong));
        for sign in failover.iter().flat_map(|rules| &rules.signs) {
            sign.count_requests(spec, &mut kpis);
        }
        provider::check(spec, &mut wrong);
        gateway::check(spec, &mut wrong);
        if wrong.is_empty() {
            Ok(Self {
                mode: spec.mode,
                criticality: spec.criticality,
                min_replicas: spec.min_replicas,
                max_replicas: spec.max_replicas,
                period,
                kpis,
                scale_up,
                scale_down,
                schedule,
                traffic,
                outliers,
                failover,
            })
        } else {
            Err(Invalid(wrong))
        }
    }
}

impl Validated {
    /// The fewest replicas at `now`: minReplicas, or more while a schedule holds.
    #[must_use]
    pub fn floor(&self, now: Timestamp) -> i32 {
        let holding = self.schedule.iter().filter(|entry| entry.holds(now));
        holding.map(|entry| entry.min_replicas).fold(self.min_replicas, i32::max)
    }
}

fn check_replicas(spec: &ScalableServiceSpec, wrong: &mut Vec<String>) {
    let (min, max) = (spec.min_replicas, spec.max_replicas);
    if !(0..=100_000).contains(&min) {
        wrong.push(format!("spec.minReplicas is {min}; it must be from 0 to 100000"));
    }
    if !(1..=100_000).contains(&max) {
        wrong.push(format!("spec.maxReplicas is {max}; it must be from 1 to 100000"));
    }
    if min > max {
        wrong.push(format!("spec.minReplicas is {min}; it must not be above maxReplicas, which is {max}"));
    }
    if spec.kpis.is_empty() && spec.schedule.is_empty() {
        wrong
            .push("spec.kpis and spec.schedule are both empty; one of them must say what to scale by".into());
    }
    if min == 0 && !spec.kpis.is_empty() && !spec.kpis.iter().any(|kpi| kpi.type_ == KpiType::Load) {
        wrong.push(
            "spec.minReplicas is 0; that needs a KPI of type Load, which can be seen without replicas".into(),
        );
    }
}

fn check_target(target: &ScaleTargetRef, wrong: &mut Vec<String>) {
    let ScaleTargetRef { api_version, kind, .. } = target;
    if api_version.strip_prefix(GROUP).is_some_and(|version| version.starts_with('/')) {
        let found = format!("{} {}", key(api_version), key(kind));
        wrong.push(format!("spec.scaleTargetRef is {found}; it must be the workload itself"));
    }
}

fn move_rules(direction: &str, rules: &ScalingRules, window: i32, wrong: &mut Vec<String>) -> MoveRules {
    let path = format!("spec.behavior.{direction}");
    let seconds = rules.stabilization_window_seconds.unwrap_or(window);
    if !(0..=3600).contains(&seconds) {
        wrong.push(format!("{path}.stabilizationWindowSeconds is {seconds}; it must be from 0 to 3600"));
    }
    for (index, policy) in rules.policies.iter().enumerate() {
        if policy.value < 1 {
            wrong.push(format!("{path}.policies[{index}].value is {}; it must be at least 1", policy.value));
        }
        if !(1..=1800).contains(&policy.period_seconds) {
            let found = policy.period_seconds;
            wrong.push(format!(
                "{path}.policies[{index}].periodSeconds is {found}; it must be from 1 to 1800"
            ));
        }
    }
    let tolerance = match &rules.tolerance {
        None => TOLERANCE,
        Some(quantity) => quantity.value().filter(|value| (0.0..1.0).contains(value)).unwrap_or_else(|| {
            let found = quoted(&quantity.0);
            wrong.push(format!(
                "{path}.tolerance is {found}; it must be a number of at least 0 and below 1, such as \"0.1\""
            ));
            TOLERANCE
        }),
    };
    MoveRules {
        window: SignedDuration::from_secs(i64::from(seconds)),
        select: rules.select_policy,
        policies: rules.policies.clone(),
        tolerance,
    }
}

fn schedules(spec: &ScalableServiceSpec, wrong: &mut Vec<String>) -> Vec<Schedule> {
    let mut parsed = Vec::new();
    for (index, entry) in spec.schedule.iter().enumerate() {
        let path = format!("spec.schedule[{index}]");
        let length = duration(&entry.duration);
        if !(SignedDuration::from_mins(1)..=SignedDuration::from_hours(168)).contains(&length) {
            wrong.push(format!("{path}.duration is {}; it must be from 1m to 168h", text(&entry.duration)));
        }
        if !(1..=spec.max_replicas).contains(&entry.min_replicas) {
            let (found, max) = (entry.min_replicas, spec.max_replicas);
            wrong.push(format!(
                "{path}.minReplicas is {found}; it must be from 1 to maxReplicas, which is {max}"
            ));
        }
        match Schedule::parse(&entry.name, &entry.start, &entry.time_zone, length, entry.min_replicas) {
            Ok(schedule) => parsed.push(schedule),
            Err(error) => wrong.push(format!("{path}.{error}")),
        }
    }
    parsed
}

#[cfg(test)]
mod tests;
