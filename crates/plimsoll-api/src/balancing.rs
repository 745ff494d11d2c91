//! `status.traffic`: the state of the balancers, reported by them and by the controller.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NotAnswering, Percent};

/// State of the balancers, reported by them and by the controller.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// Pods that get no new requests because they are to be removed. A pod stays here for 30 s after its deletion has begun,
    /// since EndpointSlices may still list it as ready (written by the controller).
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub draining: Vec<Draining>,
    /// Pods that became ready while requests were held. A pod stays here for 30 s, since EndpointSlices may not list it yet
    /// (written by the controller).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub arrived: Vec<Arrival>,
    /// Number of ready balancers, which share `limits` (written by the controller).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_balancers: Option<i32>,
    /// One entry for each balancer pod, written by that pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub balancers: Vec<BalancerStatus>,
}

impl TrafficStatus {
    /// The pods of `draining`, by name.
    #[must_use]
    pub fn draining_pods(&self) -> BTreeSet<String> {
        self.draining.iter().map(|draining| draining.pod.clone()).collect()
    }
}

/// A pod that is removed once its last request is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// Name of the pod.
    pub pod: String,
    /// Start of the drain; `drain.timeout` counts from here.
    pub since: Time,
}

/// A pod that became ready while requests were held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// Name of the pod.
    pub pod: String,
    /// Address of the pod.
    pub ip: String,
    /// When it was first reported to the balancers.
    pub since: Time,
}

/// State of one balancer, reported by its agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalancerStatus {
    /// Name of the pod.
    pub pod: String,
    /// Generation of the ScalableService that the running configuration is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether the running configuration was read back and matches the wanted one.
    #[serde(default)]
    pub in_sync: bool,
    /// Number of replicas that get requests; with NGINX, those in its running configuration.
    #[serde(default)]
    pub programmed: i32,
    /// Names of pods in `draining` and `recovery.ejected` that have no requests left at this balancer.
    #[serde(default)]
    pub drained: Vec<String>,
    /// Number of held requests: those that wait because no replica is ready.
    #[serde(default)]
    pub held: i32,
    /// Names of the standbys of `spec.failover` that answered the last check of this balancer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answering: Vec<String>,
    /// Standbys that did not answer the last check, with the errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_answering: Vec<NotAnswering>,
    /// Ready replicas that get no requests because they fail its health checks: the first 100 pods by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<String>,
    /// Utilization in percent: the largest of connections and requests, relative to their maximum, and CPU time over 30 s (not
    /// available with NGINX). It is written again after a change by 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Percent>,
    /// Why it is not in sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl BalancerStatus {
    /// Maximum number of names in [`Self::down`].
    pub const DOWN_MAX: usize = 100;
}
