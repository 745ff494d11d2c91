//! `spec.limit` of a CapacityBudget: where the total amount comes from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Quantity, selector::label_selector};

/// The source of the total amount: the member that `type` names.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "has(self.value) == (self.type == 'Value') && has(self.prometheus) == (self.type == 'Prometheus') && \
         has(self.nodes) == (self.type == 'Nodes') && has(self.resourceQuota) == (self.type == 'ResourceQuota')",
        "limit must have exactly the member that limit.type names"
    ),
    validation = (
        "!has(self.value) || (isQuantity(string(self.value)) && !quantity(string(self.value)).isLessThan(quantity('0')))",
        "limit.value must be a quantity of at least 0, for example \"60\""
    )
)]
pub struct BudgetLimit {
    /// Value, Prometheus, Nodes or ResourceQuota. The last two need resource cpu, memory or pods.
    #[serde(rename = "type")]
    pub type_: LimitType,
    /// Value: a fixed amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Quantity>,
    /// Prometheus: the result of a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<BudgetQuery>,
    /// Nodes: the sum of what is allocatable on nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeSet>,
    /// ResourceQuota: the hard limit of a ResourceQuota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_quota: Option<QuotaRef>,
}

/// Where the total amount comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LimitType {
    /// A fixed amount.
    Value,
    /// The result of a query.
    Prometheus,
    /// The sum of what is allocatable on nodes.
    Nodes,
    /// The hard limit of a ResourceQuota.
    ResourceQuota,
}

/// A query for an amount.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct BudgetQuery {
    /// Name of a Prometheus source in the operator's configuration.
    #[serde(default = "default_source")]
    #[schemars(length(min = 1, max = 63))]
    pub source: String,
    /// PromQL whose result is a scalar or one series, in the unit of the resource.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
}

/// Nodes by their labels.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeSet {
    /// Labels of the nodes; without it, all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    #[x_kube(validation = (
        "!has(self.matchExpressions) || self.matchExpressions.all(e, \
         (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))",
        "limit.nodes.selector.matchExpressions must have values with operator In or NotIn, and none with Exists or DoesNotExist"
    ))]
    pub selector: Option<LabelSelector>,
}

/// A ResourceQuota.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct QuotaRef {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

fn default_source() -> String {
    "default".into()
}
