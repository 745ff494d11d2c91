//! `spec.consumers` of a CapacityBudget: the namespaces that may consume it, and their rights.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{Criticality, Quantity, selector::label_selector};

/// Namespaces whose services may consume the budget.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.guaranteed) || (isQuantity(string(self.guaranteed)) && \
     !quantity(string(self.guaranteed)).isLessThan(quantity('0')))",
    "consumers.guaranteed must be a quantity of at least 0, for example \"20\""
))]
pub struct Consumer {
    /// Unique name within the budget; shown in status.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Labels of the namespaces; `{}` selects all.
    #[schemars(schema_with = "label_selector")]
    #[x_kube(validation = (
        "!has(self.matchExpressions) || self.matchExpressions.all(e, \
         (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))",
        "consumers.namespaceSelector.matchExpressions must have values with operator In or NotIn, and none with Exists or \
         DoesNotExist"
    ))]
    pub namespace_selector: LabelSelector,
    /// The highest criticality that counts for services of these namespaces, Critical by default. One with a higher criticality
    /// counts as this, so that no tenant puts itself before the others.
    #[serde(default)]
    pub max_criticality: Criticality,
    /// Amount that these services get before services of other entries, whatever their criticality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guaranteed: Option<Quantity>,
}
