//! A KPI whose numbers are sound.

use super::{
    checks::above_zero,
    volume::{self, VolumeRule},
};
use crate::{Kpi, KpiType, OnEmpty, Quantity};

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

pub(super) fn kpi_rule(index: usize, kpi: &Kpi, wrong: &mut Vec<String>) -> Option<KpiRule> {
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
