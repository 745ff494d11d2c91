//! The `CapacityBudget` resource: a limit that many services share, and the namespaces that may consume it.

mod consumer;
mod limit;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    consumer::Consumer,
    limit::{BudgetLimit, BudgetQuery, LimitType, NodeSet, QuotaRef},
    status::{CapacityBudgetStatus, ConsumerStatus},
};
use super::Quantity;

/// Desired behavior of a CapacityBudget.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "CapacityBudget",
    plural = "capacitybudgets",
    singular = "capacitybudget",
    shortname = "budget",
    category = "plimsoll",
    status = "CapacityBudgetStatus",
    derive = "PartialEq",
    doc = "CapacityBudget is a limit that many services share, such as the connections of a database or the CPU of a cluster. It \
           is granted by criticality, then by weight. The operator does not enforce budgets yet; `plimsoll plan` shows what they \
           grant.",
    printcolumn(name = "Resource", type_ = "string", json_path = ".spec.resource"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Limit", type_ = "string", json_path = ".status.limit"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.used"),
    printcolumn(name = "Requested", type_ = "string", json_path = ".status.requested"),
    printcolumn(name = "Granted", type_ = "string", json_path = ".status.granted"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Exhausted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Exhausted")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!(self.limit.type in ['Nodes', 'ResourceQuota']) || self.resource in ['cpu', 'memory', 'pods']",
        "limit.type Nodes or ResourceQuota needs resource cpu, memory or pods"
    ),
    validation = (
        "isQuantity(string(self.reserved)) && !quantity(string(self.reserved)).isLessThan(quantity('0'))",
        "reserved must be a quantity of at least 0, for example \"6\""
    )
)]
pub struct CapacityBudgetSpec {
    /// What is limited: cpu, memory, pods, or any other name, such as db-connections or example.com/licences. Immutable.
    #[x_kube(validation = ("self == oldSelf", "resource is immutable: create another CapacityBudget"))]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$"))]
    pub resource: String,
    /// Observe (the default) reports what would be granted; Enforce limits the replicas to what is granted.
    #[serde(default)]
    pub mode: BudgetMode,
    /// The total amount, in the unit of the resource: cores, bytes, or a count.
    pub limit: BudgetLimit,
    /// Fall of the limit, in percent of the last known limit, above which the new limit is unknown until it has lasted 5 minutes.
    /// A typo or a wrong query then does not shrink a fleet. With 100, every fall applies immediately, and so does that of a limit
    /// of nodes.
    #[serde(default = "max_decrease_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub max_decrease_percent: i32,
    /// Amount of the limit that is never granted.
    #[serde(default = "nothing")]
    pub reserved: Quantity,
    /// Measured use of the resource. Needed wherever others than the consumers use it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<BudgetUsage>,
    /// Whether a service may lose what it has been granted: Never (the default), or to services of a higher criticality.
    /// LowerCriticality has no effect yet.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
    /// The namespaces whose services may consume this budget; without entries, none. A namespace belongs to the first entry that
    /// matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    #[schemars(length(max = 64))]
    pub consumers: Vec<Consumer>,
}

/// Whether a budget limits replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BudgetMode {
    /// Report what would be granted, and limit nothing.
    #[default]
    Observe,
    /// Limit the replicas of the consumers to what is granted.
    Enforce,
}

/// Whether a service may lose what it has been granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// A service keeps its replicas until it needs them no longer.
    #[default]
    Never,
    /// Services of a lower criticality are scaled down, not below minReplicas, for those of a higher one.
    LowerCriticality,
}

/// Measured use of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetUsage {
    /// All (the default): the query counts everything that is in use. The use by others is then what exceeds that of the ready
    /// pods of consumers, so each of these must use all of its `perReplica`. Others: the query counts only use by those that
    /// Plimsoll does not scale.
    #[serde(default)]
    pub includes: UsageScope,
    /// The query, in the unit of the resource.
    pub prometheus: BudgetQuery,
}

/// What a query for the use of a resource counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UsageScope {
    /// Everything in use, including the pods of the consumers.
    #[default]
    All,
    /// Only use by those that Plimsoll does not scale.
    Others,
}

fn max_decrease_percent() -> i32 {
    20
}

fn nothing() -> Quantity {
    Quantity("0".to_owned())
}
