//! `status.traffic`: what the balancers do, as they and the controller report it.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NotAnswering, Percent};

/// What the balancers do, as they and the controller report it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// Pods that get no new requests since they are to be removed, and for 30 s after they are on their way out, in which
    /// EndpointSlices may still list them as ready (written by the controller).
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub draining: Vec<Draining>,
    /// Pods that became ready while requests waited for the first one, for 30 s, in which EndpointSlices may not list them yet
    /// (written by the controller).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub arrived: Vec<Arrival>,
    /// Balancers that are ready, which share `limits` (written by the controller).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_balancers: Option<i32>,
    /// Each balancer, by its pod; each writes its own.
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

/// A pod that is to be removed once its last request is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// Its name.
    pub pod: String,
    /// When it was chosen; `drain.timeout` counts from here.
    pub since: Time,
}

/// A pod that is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// Its name.
    pub pod: String,
    /// Its address.
    pub ip: String,
    /// When the balancers were first told of it.
    pub since: Time,
}

/// One balancer, as its agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalancerStatus {
    /// Its pod.
    pub pod: String,
    /// The ScalableService's generation that the running configuration is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether what runs was read back and is what is wanted.
    #[serde(default)]
    pub in_sync: bool,
    /// Replicas that get requests; with NGINX, those in the configuration that it serves.
    #[serde(default)]
    pub programmed: i32,
    /// Pods of `draining`, and of `recovery.ejected`, whose last request here is over (or never was), by name.
    #[serde(default)]
    pub drained: Vec<String>,
    /// Requests that wait here although no replica is there to serve them.
    #[serde(default)]
    pub held: i32,
    /// Standbys of `spec.failover` that answered it when they were last asked, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answering: Vec<String>,
    /// Those that did not, and what came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_answering: Vec<NotAnswering>,
    /// Ready replicas that get no requests since they fail its checks: the first 100 by the names of their pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<String>,
    /// Percent in use of what it can take: connections or requests of its most, or CPU time over 30 s, whichever is more. It is
    /// written again when it has moved by 10; with NGINX, without CPU time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Percent>,
    /// What keeps it from being in sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl BalancerStatus {
    /// Most names in [`Self::down`].
    pub const DOWN_MAX: usize = 100;
}
