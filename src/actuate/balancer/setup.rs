//! What the balancers of all services are made of: the operator's configuration.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use serde::Deserialize;

use plimsoll_api::{BalancerContainer, BalancerPod, Software};

/// What the balancers of all services are made of, unless a spec says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Images of the containers.
    pub images: Images,
    /// Defaults of `spec.traffic.pod`.
    pub pod: BalancerPod,
    /// Defaults of `spec.traffic.container`.
    pub container: BalancerContainer,
    /// Who may reach the balancers; without it there is no NetworkPolicy.
    pub network_policy: Option<NetworkRules>,
    /// Services, at least 1, whose balancers are rolled at the same time after the operator or its configuration changed.
    pub concurrent_rollouts: usize,
}

/// Who may reach the balancers. What they may reach is not limited: the replicas' and the API server's addresses are not
/// known beforehand.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkRules {
    /// Who may reach the listeners; everybody if it is empty.
    #[serde(default)]
    pub from: Vec<NetworkPolicyPeer>,
    /// Who may reach the metrics; everybody if it is empty. The kubelet's probes come from the pod's own node, which
    /// Kubernetes lets through.
    #[serde(default)]
    pub metrics_from: Vec<NetworkPolicyPeer>,
}

/// Images of a balancer's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Has the static program `plimsoll` as its entry point.
    pub agent: String,
    /// Has `haproxy` in its PATH.
    pub haproxy: String,
    /// Has `nginx` in its PATH.
    pub nginx: String,
}

impl Images {
    /// The one with what balances.
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

    /// With the defaults for everything but the images.
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
