//! The NetworkPolicy of a balancer's pods, if the operator's configuration has one. Pure.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::maker::{AGENT_PORT, Maker, inside};
use crate::balancer::HEALTH_PORT;

impl Maker<'_> {
    pub fn network_policy(&self) -> Option<NetworkPolicy> {
        let rules = self.setup.network_policy.as_ref()?;
        let listeners = self.traffic.listeners.iter().map(|listener| inside(listener.port));
        let metrics = [HEALTH_PORT, AGENT_PORT].map(i32::from);
        Some(NetworkPolicy {
            metadata: self.metadata(&self.name),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector {
                    match_labels: Some(self.selector()),
                    ..LabelSelector::default()
                }),
                policy_types: Some(vec!["Ingress".to_owned()]),
                ingress: Some(vec![
                    ingress(listeners, &rules.from),
                    ingress(metrics.into_iter(), &rules.metrics_from),
                ]),
                egress: None,
            }),
        })
    }
}

fn ingress(ports: impl Iterator<Item = i32>, from: &[NetworkPolicyPeer]) -> NetworkPolicyIngressRule {
    let port = |port| NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    NetworkPolicyIngressRule {
        ports: Some(ports.map(port).collect()),
        // No list means all peers; in other parts of the API an empty list means none.
        from: Some(from.to_vec()).filter(|from| !from.is_empty()),
    }
}
