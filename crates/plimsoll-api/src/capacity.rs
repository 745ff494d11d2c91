//! What a service needs beside its own replicas: `spec.dependsOn` and `spec.consumes`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// A ScalableService that this one needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// Name of the ScalableService, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// What each replica uses of a CapacityBudget.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "isQuantity(string(self.perReplica)) && quantity(string(self.perReplica)).isGreaterThan(quantity('0'))",
    "consumes.perReplica must be a quantity above 0, for example \"8\""
))]
pub struct Consumes {
    /// Name of the CapacityBudget.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub budget_name: String,
    /// Amount that one replica uses at most, in the unit of the budget's resource.
    pub per_replica: Quantity,
}
