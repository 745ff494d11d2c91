//! The operator's configuration of all balancers.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use serde::Deserialize;

use plimsoll_api::{BalancerContainer, BalancerPod, Software};

/// The configuration of all balancers; specs may override some of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Images of the containers.
    pub images: Images,
    /// Defaults of `spec.traffic.pod`.
    pub pod: BalancerPod,
    /// Defaults of `spec.traffic.container`.
    pub container: BalancerContainer,
    /// Allowed clients of the balancers; without it there is no NetworkPolicy.
    pub network_policy: Option<NetworkRules>,
    /// Maximum number of services, at least 1, whose balancers are rolled out at the same time after a change of the operator
    /// or its configuration.
    pub concurrent_rollouts: usize,
}

/// Allowed clients of the balancers. Egress is not restricted, since the addresses of the replicas and the API server are not
/// known in advance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkRules {
    /// Allowed clients of the listeners; all if empty.
    #[serde(default)]
    pub from: Vec<NetworkPolicyPeer>,
    /// Allowed clients of the metrics; all if empty. The kubelet's probes come from the pod's own node, which Kubernetes
    /// always allows.
    #[serde(default)]
    pub metrics_from: Vec<NetworkPolicyPeer>,
}

/// Images of a balancer's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Image with the static program `plimsoll` as its entry point.
    pub agent: String,
    /// Image with `haproxy` in its PATH.
    pub haproxy: String,
    /// Image with `nginx` in its PATH.
    pub nginx: String,
}

impl Images {
    /// The image of the load balancer.
    #[must_use]
    pub fn of(&self, software: Software) -> &str {
        match software {
            Software::HAProxy => &self.haproxy,
            Software::NGINX => &self.nginx,
        }
    }
}

impl Setup {
    /// Default of [`Self::concurrent_rollouts`].
    pub const CONCURRENT_ROLLOUTS: usize = 2;

    /// The configuration with these images and defaults for everything else.
    #[must_use]
    pub fn of(images: Images) -> Self {
        Self {
            images,
            pod: BalancerPod::default(),
            container: BalancerContainer::default(),
            network_policy: None,
            concurrent_rollouts: Self::CONCURRENT_ROLLOUTS,
        }
    }
}
