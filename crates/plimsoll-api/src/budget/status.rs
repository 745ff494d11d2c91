//! `status` of a CapacityBudget. It has sums per entry of `consumers`, never a line per service, so that 10,000 services fit.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Quantity;

/// Observed state of a CapacityBudget. Amounts are in the unit of the resource.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityBudgetStatus {
    /// Generation of the spec that this status is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The last known limit, including `reserved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Quantity>,
    /// The last known amount in use, by consumers and others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Quantity>,
    /// Sum of what the replicas that the consumers' KPIs propose would use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Quantity>,
    /// Sum of what is granted to the consumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Quantity>,
    /// Number of services that consume this budget.
    #[serde(default)]
    pub consumer_count: i32,
    /// Sums for each entry of `spec.consumers`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub consumers: Vec<ConsumerStatus>,
    /// `Ready` (kstatus), and `LimitKnown`, `UsageKnown`, `Exhausted`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
}

/// Sums over the services of one entry of `spec.consumers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerStatus {
    /// Name in the spec.
    pub name: String,
    /// Sum of what the replicas that their KPIs propose would use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Quantity>,
    /// Sum of what is granted to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Quantity>,
}
