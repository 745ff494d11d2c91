//! `spec.traffic.pod` and `spec.traffic.container`: settings of the balancers' pods. Names are those of core/v1 and of Envoy
//! Gateway's EnvoyProxy.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, PodSecurityContext, Toleration};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Quantity;

/// Pods of the balancers. A field that is set here replaces the one of the chart's `balancers.pod`; labels and annotations are
/// added to those of the chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalancerPod {
    /// Additional labels; those that Plimsoll sets take precedence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Additional annotations; they override those that Plimsoll sets, such as `prometheus.io/scrape`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Required labels of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Tolerated taints of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Required or preferred nodes; the pods are always spread over nodes and zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// Priority class of the pods. The default is that of the target's pod template, so that the balancers are not evicted
    /// before the service's own pods; without one, or for a kind that is not built in, that of the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,
    /// Secrets in the service's namespace for pulling the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pull_secrets")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
    /// Replaces that of the chart as a whole. Without `runAsUser` and `fsGroup`, the cluster must set them, as OpenShift does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<PodSecurityContext>")]
    pub security_context: Option<PodSecurityContext>,
}

/// The container of HAProxy or NGINX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BalancerContainer {
    /// Replaces the chart's `balancers.container.resources` as a whole. The agent's container has its own resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
}

/// Requests and limits of a container, by resource.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = (
    "(!has(self.requests) || self.requests.all(name, isQuantity(string(self.requests[name])) && \
     !quantity(string(self.requests[name])).isLessThan(quantity('0')))) && \
     (!has(self.limits) || self.limits.all(name, isQuantity(string(self.limits[name])) && \
     !quantity(string(self.limits[name])).isLessThan(quantity('0'))))",
    "requests and limits in traffic.container.resources must be quantities of at least 0, for example cpu: 500m or memory: 256Mi"
))]
pub struct ContainerResources {
    /// Resources that the scheduler reserves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub requests: BTreeMap<String, Quantity>,
    /// Maximum resources of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub limits: BTreeMap<String, Quantity>,
}

/// The schema of Kubernetes without its descriptions, which would be half of the CRD.
fn brief<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("description");
        fields.values_mut().for_each(without_descriptions);
    }
    schema
}

fn without_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A field named `description` has an object here.
            if fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            fields.values_mut().for_each(without_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_descriptions),
        _ => {}
    }
}

fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    list::<Toleration>(generator)
}

fn pull_secrets(generator: &mut SchemaGenerator) -> Schema {
    list::<LocalObjectReference>(generator)
}

fn list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let items = brief::<T>(generator);
    schemars::json_schema!({"type": "array", "maxItems": 16, "items": items})
}
