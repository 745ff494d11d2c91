//! `spec.kpis`: metrics and their targets.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// One key performance indicator: a Prometheus query and the target of its result.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "self.type == 'Load' ? has(self.perReplica) && !has(self.target) && !has(self.atMost) : true",
        "a KPI of type Load takes perReplica, and neither target nor atMost"
    ),
    validation = (
        "self.type == 'Utilization' ? has(self.target) && !has(self.perReplica) && !has(self.atMost) : true",
        "a KPI of type Utilization takes target, and neither perReplica nor atMost"
    ),
    validation = (
        "self.type == 'Objective' ? has(self.atMost) && !has(self.perReplica) && !has(self.target) : true",
        "a KPI of type Objective takes atMost, and neither perReplica nor target"
    ),
    validation = (
        "!has(self.perReplica) || (isQuantity(string(self.perReplica)) && quantity(string(self.perReplica)).isGreaterThan(quantity('0')))",
        "perReplica must be a quantity above 0, for example \"120\""
    ),
    validation = (
        "!has(self.target) || (isQuantity(string(self.target)) && quantity(string(self.target)).isGreaterThan(quantity('0')) && !quantity(string(self.target)).isGreaterThan(quantity('1')))",
        "target must be a quantity above 0 and at most 1, for example \"0.7\""
    ),
    validation = (
        "!has(self.atMost) || (isQuantity(string(self.atMost)) && quantity(string(self.atMost)).isGreaterThan(quantity('0')))",
        "atMost must be a quantity above 0, for example \"0.25\""
    ),
    validation = (
        "self.type != 'Utilization' || self.onEmpty == 'Hold'",
        "onEmpty Zero is not allowed for type Utilization: replicas that report nothing are not idle"
    )
)]
pub struct Kpi {
    /// Unique name within the service; shown in status, events and metrics.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// How the result of the query is interpreted.
    #[serde(rename = "type")]
    pub type_: KpiType,
    /// PromQL whose result is a scalar, one series, or (Utilization) one series per pod with a label `pod`.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// Name of a Prometheus source in the operator's configuration.
    #[serde(default = "default_source")]
    #[schemars(length(min = 1, max = 63))]
    pub source: String,
    /// Load: capacity of one replica, in the unit of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<Quantity>,
    /// Utilization: target of the average over the replicas, above 0 and at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Quantity>,
    /// Objective: upper limit of the value, in the unit of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Quantity>,
    /// PromQL for the number of requests behind the value, for `failover.leave.when[].requestVolume`; by default the divisor of
    /// the query, or the observations of its `histogram_quantile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub volume_query: Option<String>,
    /// Meaning of an empty result: Hold (unknown, the default) or Zero.
    #[serde(default)]
    pub on_empty: OnEmpty,
}

/// How the result of a KPI is interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KpiType {
    /// A total that grows with traffic: a rate, a queue length, a lag, a concurrency.
    Load,
    /// An average over the ready replicas, 0..1.
    Utilization,
    /// A value with an upper limit that is not proportional to the replicas, such as a latency.
    Objective,
}

/// Meaning of an empty result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnEmpty {
    /// Unknown: it prevents a scale-down.
    #[default]
    Hold,
    /// The value is 0.
    Zero,
}

fn default_source() -> String {
    "default".into()
}
