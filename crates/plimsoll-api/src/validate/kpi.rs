//! Validation of a KPI.

use super::{
    checks::above_zero,
    volume::{self, VolumeRule},
};
use crate::{Kpi, KpiType, OnEmpty, Quantity};

/// A KPI with parsed numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct KpiRule {
    /// Unique within the service.
    pub name: String,
    /// PromQL, as the user wrote it.
    pub query: String,
    /// Name of the Prometheus source.
    pub source: String,
    /// The target of the value.
    pub goal: Goal,
    /// Whether an empty result means 0.
    pub empty_is_zero: bool,
    /// Source of the number of requests behind the value.
    pub volume: VolumeRule,
}

/// The target of a KPI. Every number is finite and above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The capacity of one replica.
    PerReplica(f64),
    /// The average over the ready replicas, at most 1.
    Average(f64),
    /// The limit of an objective.
    AtMost(f64),
}

impl Goal {
    /// The number.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Self::PerReplica(number) | Self::Average(number) | Self::AtMost(number) => number,
        }
    }

    /// The type of the KPI.
    #[must_use]
    pub fn kpi_type(self) -> KpiType {
        match self {
            Self::PerReplica(_) => KpiType::Load,
            Self::Average(_) => KpiType::Utilization,
            Self::AtMost(_) => KpiType::Objective,
        }
    }
}

pub(super) fn kpi_rule(index: usize, kpi: &Kpi, errors: &mut Vec<String>) -> Option<KpiRule> {
    let path = format!("spec.kpis[{index}]");
    if kpi.name.is_empty() {
        errors.push(format!("{path}.name is empty; a KPI needs a name"));
    }
    if kpi.query.trim().is_empty() {
        errors.push(format!("{path}.query is empty; it must be PromQL"));
    }
    let fields = [("perReplica", &kpi.per_replica), ("target", &kpi.target), ("atMost", &kpi.at_most)];
    let wanted = match kpi.type_ {
        KpiType::Load => "perReplica",
        KpiType::Utilization => "target",
        KpiType::Objective => "atMost",
    };
    volume::query(&path, kpi.volume_query.as_ref(), errors);
    let mut number = None;
    for (field, value) in fields {
        match (field == wanted, value) {
            (true, Some(value)) => number = goal(&format!("{path}.{field}"), value, kpi.type_, errors),
            (true, None) => errors.push(format!("{path}.{field} is missing; type {:?} needs it", kpi.type_)),
            (false, Some(_)) => {
                errors.push(format!("{path}.{field} is set; type {:?} takes {wanted} only", kpi.type_))
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
        errors.push(format!("{path}.onEmpty is Zero; for type Utilization it must be Hold"));
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

fn goal(path: &str, quantity: &Quantity, type_: KpiType, errors: &mut Vec<String>) -> Option<f64> {
    let (most, allowed) = match type_ {
        KpiType::Load => (f64::MAX, "a number above 0, such as \"120\", \"0.25\" or \"250m\""),
        KpiType::Utilization => (1.0, "a number above 0 and at most 1, such as \"0.7\""),
        KpiType::Objective => (f64::MAX, "a number above 0, such as \"0.25\" or \"250m\""),
    };
    above_zero(path, quantity, most, allowed, errors)
}
