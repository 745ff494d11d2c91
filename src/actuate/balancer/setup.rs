//! What the balancers of all services are made of: the operator's configuration.

use plimsoll_api::{BalancerContainer, BalancerPod, Software};

use super::NetworkRules;

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
