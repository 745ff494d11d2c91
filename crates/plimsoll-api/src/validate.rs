//! Validation of a spec, which parses every value once.
//!
//! The API server refuses most invalid specs by the CRD's CEL rules. This validation is for `decide`, which reads files, and
//! for cron expressions, which CEL can't check.

mod budget;
mod capacity;
mod checks;
mod failover;
mod gateway;
mod kpi;
mod provider;
mod recovery;
mod selector;
mod traffic;
mod volume;

pub use budget::{ConsumerRule, Limit, ValidBudget};
pub use capacity::ConsumesRule;
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

/// Maximum length of the text of [`Invalid`], unless its first sentence is longer.
const TEXT_MAX: usize = 800;

/// All errors of a spec, one sentence each, with the path of the field. The text has the first sentences and the number of the
/// others.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", summary(.0))]
pub struct Invalid(pub Vec<String>);

fn summary(sentences: &[String]) -> String {
    let mut text = String::new();
    for (index, sentence) in sentences.iter().enumerate() {
        if index > 0 && text.len() + sentence.len() > TEXT_MAX {
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

/// A valid spec with parsed values.
#[derive(Clone, Debug)]
pub struct Validated {
    /// Whether Plimsoll may write to the target.
    pub mode: Mode,
    /// Importance of the service.
    pub criticality: Criticality,
    /// Share of scarce capacity relative to services of the same criticality, 1 to 1000.
    pub weight: i32,
    /// At least 0 and at most `max_replicas`.
    pub min_replicas: i32,
    /// At least 1.
    pub max_replicas: i32,
    /// Maximum time between two turns, 1 s to 10 min.
    pub period: SignedDuration,
    /// In the order of the spec; names are unique.
    pub kpis: Vec<KpiRule>,
    /// Rules of a scale-up.
    pub scale_up: MoveRules,
    /// Rules of a scale-down.
    pub scale_down: MoveRules,
    /// Higher minimums at scheduled times.
    pub schedule: Vec<Schedule>,
    /// Effect of the load balancer on the replicas; `None` without one that Plimsoll runs.
    pub traffic: Option<TrafficRules>,
    /// Comparison of replicas with their peers; `None` without `spec.recovery`.
    pub outliers: Option<OutlierRules>,
    /// Conditions of a switch and a return; `None` without `spec.failover`.
    pub failover: Option<FailoverRules>,
    /// Names of the services of the same namespace that this one needs; unique, and without this service.
    pub depends_on: Vec<String>,
    /// What each replica uses of shared capacity; one entry per budget.
    pub consumes: Vec<ConsumesRule>,
}

/// Rules of a scale-up or scale-down.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveRules {
    /// Stabilization window; 0 for none.
    pub window: SignedDuration,
    /// Which of several policies applies.
    pub select: SelectPolicy,
    /// Rate policies; no limit if empty.
    pub policies: Vec<ScalingPolicy>,
    /// Relative distance from the target within which the replicas stay, 0..1.
    pub tolerance: f64,
}

impl Validated {
    /// Parses and validates a service; the error has a sentence per invalid field.
    pub fn of(service: &ScalableService) -> Result<Self, Invalid> {
        let mut by_name = failover::invalid_standbys(service);
        by_name.extend(capacity::invalid_dependencies(service));
        let valid = Self::new(&service.spec);
        if by_name.is_empty() {
            return valid;
        }
        let others = valid.err().map(|invalid| invalid.0).unwrap_or_default();
        Err(Invalid(others.into_iter().chain(by_name).collect()))
    }

    /// Parses and validates a spec, except for the rules that need the name of the service; the error has a sentence per invalid
    /// field.
    pub fn new(spec: &ScalableServiceSpec) -> Result<Self, Invalid> {
        let mut errors = Vec::new();
        check_replicas(spec, &mut errors);
        check_target(&spec.scale_target_ref, &mut errors);
        let period = duration(&spec.period);
        if !(SignedDuration::from_secs(1)..=SignedDuration::from_mins(10)).contains(&period) {
            errors.push(format!("spec.period is {}; it must be from 1s to 10m", text(&spec.period)));
        }
        unique("spec.kpis", spec.kpis.iter().map(|kpi| kpi.name.as_str()), &mut errors);
        unique("spec.schedule", spec.schedule.iter().map(|entry| entry.name.as_str()), &mut errors);
        let mut kpis: Vec<KpiRule> = spec
            .kpis
            .iter()
            .enumerate()
            .filter_map(|(index, kpi)| kpi_rule(index, kpi, &mut errors))
            .collect();
        let scale_up = move_rules("scaleUp", &spec.behavior.scale_up, UP_WINDOW_S, &mut errors);
        let scale_down = move_rules("scaleDown", &spec.behavior.scale_down, DOWN_WINDOW_S, &mut errors);
        let schedule = schedules(spec, &mut errors);
        let balanced = spec.balanced();
        let traffic = balanced.map(|traffic| traffic::rules(traffic, &mut errors));
        let outliers = spec
            .recovery
            .as_ref()
            .and_then(|recovery| recovery::rules(recovery, balanced.is_some(), &mut errors));
        let failover = spec.failover.as_ref().map(|failover| failover::rules(failover, spec, &mut errors));
        for sign in failover.iter().flat_map(|rules| &rules.signs) {
            sign.count_requests(spec, &mut kpis);
        }
        let consumes = capacity::rules(spec, &mut errors);
        provider::check(spec, &mut errors);
        gateway::check(spec, &mut errors);
        if errors.is_empty() {
            Ok(Self {
                mode: spec.mode,
                criticality: spec.criticality,
                weight: spec.weight,
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
                depends_on: spec.depends_on.iter().map(|needed| needed.name.clone()).collect(),
                consumes,
            })
        } else {
            Err(Invalid(errors))
        }
    }
}

impl Validated {
    /// The minimum number of replicas at `now`: minReplicas, or more while a schedule is active.
    #[must_use]
    pub fn floor(&self, now: Timestamp) -> i32 {
        let holding = self.schedule.iter().filter(|entry| entry.holds(now));
        holding.map(|entry| entry.min_replicas).fold(self.min_replicas, i32::max)
    }
}

fn check_replicas(spec: &ScalableServiceSpec, errors: &mut Vec<String>) {
    let (min, max) = (spec.min_replicas, spec.max_replicas);
    if !(0..=100_000).contains(&min) {
        errors.push(format!("spec.minReplicas is {min}; it must be from 0 to 100000"));
    }
    if !(1..=100_000).contains(&max) {
        errors.push(format!("spec.maxReplicas is {max}; it must be from 1 to 100000"));
    }
    if min > max {
        errors.push(format!("spec.minReplicas is {min}; it must not be above maxReplicas, which is {max}"));
    }
    if spec.kpis.is_empty() && spec.schedule.is_empty() {
        errors.push("spec.kpis and spec.schedule are both empty; at least one of them is required".into());
    }
    if min == 0 && !spec.kpis.is_empty() && !spec.kpis.iter().any(|kpi| kpi.type_ == KpiType::Load) {
        errors.push(
            "spec.minReplicas is 0; that needs a KPI of type Load, which shows demand without replicas"
                .into(),
        );
    }
}

fn check_target(target: &ScaleTargetRef, errors: &mut Vec<String>) {
    let ScaleTargetRef { api_version, kind, .. } = target;
    if api_version.strip_prefix(GROUP).is_some_and(|version| version.starts_with('/')) {
        let found = format!("{} {}", key(api_version), key(kind));
        errors.push(format!("spec.scaleTargetRef is {found}; it must be the workload itself"));
    }
}

fn move_rules(direction: &str, rules: &ScalingRules, window: i32, errors: &mut Vec<String>) -> MoveRules {
    let path = format!("spec.behavior.{direction}");
    let seconds = rules.stabilization_window_seconds.unwrap_or(window);
    if !(0..=3600).contains(&seconds) {
        errors.push(format!("{path}.stabilizationWindowSeconds is {seconds}; it must be from 0 to 3600"));
    }
    for (index, policy) in rules.policies.iter().enumerate() {
        if policy.value < 1 {
            errors.push(format!("{path}.policies[{index}].value is {}; it must be at least 1", policy.value));
        }
        if !(1..=1800).contains(&policy.period_seconds) {
            let found = policy.period_seconds;
            errors.push(format!(
                "{path}.policies[{index}].periodSeconds is {found}; it must be from 1 to 1800"
            ));
        }
    }
    let tolerance = match &rules.tolerance {
        None => TOLERANCE,
        Some(quantity) => quantity.value().filter(|value| (0.0..1.0).contains(value)).unwrap_or_else(|| {
            let found = quoted(&quantity.0);
            errors.push(format!(
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

fn schedules(spec: &ScalableServiceSpec, errors: &mut Vec<String>) -> Vec<Schedule> {
    let mut parsed = Vec::new();
    for (index, entry) in spec.schedule.iter().enumerate() {
        let path = format!("spec.schedule[{index}]");
        let length = duration(&entry.duration);
        if !(SignedDuration::from_mins(1)..=SignedDuration::from_hours(168)).contains(&length) {
            errors.push(format!("{path}.duration is {}; it must be from 1m to 168h", text(&entry.duration)));
        }
        if !(1..=spec.max_replicas).contains(&entry.min_replicas) {
            let (found, max) = (entry.min_replicas, spec.max_replicas);
            errors.push(format!(
                "{path}.minReplicas is {found}; it must be from 1 to maxReplicas, which is {max}"
            ));
        }
        match Schedule::parse(&entry.name, &entry.start, &entry.time_zone, length, entry.min_replicas) {
            Ok(schedule) => parsed.push(schedule),
            Err(error) => errors.push(format!("{path}.{error}")),
        }
    }
    parsed
}

#[cfg(test)]
mod tests;
