//! `spec.traffic.pod` and `spec.traffic.container`: what the balancers' pods have beyond what Plimsoll needs. Names are
//! those of core/v1 and of Envoy Gateway's EnvoyProxy.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, PodSecurityContext, Toleration};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Quantity;

/// Pods of the balancers. A field that is set here replaces that of the chart's `balancers.pod`; labels and annotations are
/// added to the chart's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalancerPod {
    /// More labels; those that Plimsoll sets win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// More annotations; they win over those that Plimsoll sets, such as `prometheus.io/scrape`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Which nodes the pods need or prefer; they are spread over nodes and zones in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// Default: that of the target's pod template, so that the balancers are not evicted before the service's own pods. A
    /// target without one, or of a kind that is not built in, has the chart's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,
    /// Secrets of the service's namespace with which the images are pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pull_secrets")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
    /// Replaces the chart's as a whole. Without `runAsUser` and `fsGroup` the cluster must set them, as OpenShift does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<PodSecurityContext>")]
    pub security_context: Option<PodSecurityContext>,
}

/// The container of HAProxy or NGINX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BalancerContainer {
    /// Replaces the chart's `balancers.container.resources` as a whole. The agent beside it has its own.
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
    "traffic.container.resources must have requests and limits of at least 0, for example cpu: 500m or memory: 256Mi"
))]
pub struct ContainerResources {
    /// What the scheduler sets aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container gets at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub limits: BTreeMap<String, Quantity>,
}

/// Kubernetes' own schema without its descriptions, which would be half of the CRD.
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
            // A field of that name is described by an object.
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
