//! A spec that passed: everything parsed once, nothing that can be wrong left.
//!
//! The API server refuses most of what is refused here by its CEL rules; `decide` reads files that it never saw,
//! and a cron expression is beyond CEL.

mod failover;
mod gateway;
mod provider;
mod recovery;
mod traffic;
mod volume;

pub use failover::{FailoverRules, SignRule};
use jiff::{SignedDuration, Timestamp};
pub use recovery::OutlierRules;
use thiserror::Error;
pub use traffic::TrafficRules;
pub(super) use volume::REQUEST_VOLUME;
pub use volume::VolumeRule;

use super::{
    Criticality, GROUP, Kpi, KpiType, Mode, OnEmpty, Quantity, ScalableService, ScalableServiceSpec,
    ScaleTargetRef, ScalingPolicy, ScalingRules, Schedule, SelectPolicy,
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

/// A KPI with its numbers parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct KpiRule {
    /// Unique within the service.
    pub name: String,
    /// PromQL, as the user wrote it.
    pub query: String,
    /// Name of the Prometheus source.
    pub source: String,
    /// What the answer should be.
    pub goal: Goal,
    /// Whether an empty answer is 0.
    pub empty_is_zero: bool,
    /// Where the number of requests behind it is read.
    pub volume: VolumeRule,
}

/// What a KPI's answer should be. Every number is finite and above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// What one replica carries.
    PerReplica(f64),
    /// The average over the ready replicas, at most 1.
    Average(f64),
    /// The limit of an objective.
    AtMost(f64),
}

impl Goal {
    /// The number itself.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Self::PerReplica(number) | Self::Average(number) | Self::AtMost(number) => number,
        }
    }

    /// The type that the user wrote.
    #[must_use]
    pub fn kpi_type(self) -> KpiType {
        match self {
            Self::PerReplica(_) => KpiType::Load,
            Self::Average(_) => KpiType::Utilization,
            Self::AtMost(_) => KpiType::Objective,
        }
    }
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
        check_unique("spec.kpis", spec.kpis.iter().map(|kpi| kpi.name.as_str()), &mut wrong);
        check_unique("spec.schedule", spec.schedule.iter().map(|entry| entry.name.as_str()), &mut wrong);
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

/// Whether it can be the name of an object: 1 to 253 lower-case letters, digits, `-` and `.`, with a letter or a digit at
/// both ends.
fn is_object_name(text: &str) -> bool {
    let edge = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    text.len() <= 253
        && text.chars().all(|char| edge(char) || "-.".contains(char))
        && text.starts_with(edge)
        && text.ends_with(edge)
}

fn check_unique<'a>(path: &str, names: impl Iterator<Item = &'a str>, wrong: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            wrong.push(format!("{path} has the name {} twice; names must be unique", quoted(name)));
        }
    }
}

fn kpi_rule(index: usize, kpi: &Kpi, wrong: &mut Vec<String>) -> Option<KpiRule> {
    let path = format!("spec.kpis[{index}]");
    if kpi.name.is_empty() {
        wrong.push(format!("{path}.name is empty; a KPI needs a name"));
    }
    if kpi.query.trim().is_empty() {
        wrong.push(format!("{path}.query is empty; it must be PromQL"));
    }
    let fields = [("perReplica", &kpi.per_replica), ("target", &kpi.target), ("atMost", &kpi.at_most)];
    let wanted = match kpi.type_ {
        KpiType::Load => "perReplica",
        KpiType::Utilization => "target",
        KpiType::Objective => "atMost",
    };
    volume::query(&path, kpi.volume_query.as_ref(), wrong);
    let mut number = None;
    for (field, value) in fields {
        match (field == wanted, value) {
            (true, Some(value)) => number = goal(&format!("{path}.{field}"), value, kpi.type_, wrong),
            (true, None) => wrong.push(format!("{path}.{field} is missing; type {:?} needs it", kpi.type_)),
            (false, Some(_)) => {
                wrong.push(format!("{path}.{field} is set; type {:?} takes {wanted} only", kpi.type_))
            }
            (false, None) => {}
        }
    }
    let goal = match (kpi.type_, number?) {
        (KpiType::Load, number) => Goal::PerReplica(number),
        (KpiType::Objective, number) => Goal::AtMost(number),
        (KpiType::Utilization, number) => Goal::Average(number),
    };
    let empty_is_zero = kpi.on_empty == OnEmpty::Zero;
    if empty_is_zero && kpi.type_ == KpiType::Utilization {
        wrong.push(format!("{path}.onEmpty is Zero; for type Utilization it must be Hold"));
    }
    Some(KpiRule {
        name: kpi.name.clone(),
        query: kpi.query.clone(),
        source: kpi.source.clone(),
        goal,
        empty_is_zero,
        volume: VolumeRule::Unused,
    })
}

fn goal(path: &str, quantity: &Quantity, type_: KpiType, wrong: &mut Vec<String>) -> Option<f64> {
    let (most, allowed) = match type_ {
        KpiType::Load => (f64::MAX, "a number above 0, such as \"120\", \"0.25\" or \"250m\""),
        KpiType::Utilization => (1.0, "a number above 0 and at most 1, such as \"0.7\""),
        KpiType::Objective => (f64::MAX, "a number above 0, such as \"0.25\" or \"250m\""),
    };
    above_zero(path, quantity, most, allowed, wrong)
}

fn above_zero(
    path: &str,
    quantity: &Quantity,
    most: f64,
    allowed: &str,
    wrong: &mut Vec<String>,
) -> Option<f64> {
    let value = quantity.value().filter(|value| *value > 0.0 && *value <= most);
    if value.is_none() {
        wrong.push(format!("{path} is {}; it must be {allowed}", quoted(&quantity.0)));
    }
    value
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

fn duration(duration: &kube::core::Duration) -> SignedDuration {
    let length =
        SignedDuration::try_from(std::time::Duration::from(*duration)).unwrap_or(SignedDuration::MAX);
    if duration.is_negative() { -length } else { length }
}

/// As jiff writes it: `169h`, `1m 30s`, `500ms`; with a sign where it is negative, which jiff would write as `5s ago`.
fn text(length: &kube::core::Duration) -> String {
    let length = duration(length);
    let sign = if length.is_negative() { "-" } else { "" };
    format!("{sign}{:#}", length.abs())
}

#[cfg(test)]
mod tests;
