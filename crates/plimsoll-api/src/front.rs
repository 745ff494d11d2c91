//! `spec.traffic.service`: the balancer's own Service. Names are those of core/v1.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The balancer's own Service.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "self.type == 'LoadBalancer' || (!has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges))",
        "traffic.service.loadBalancerClass and loadBalancerSourceRanges are possible only with type LoadBalancer"
    ),
    validation = (
        "self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)",
        "traffic.service.externalTrafficPolicy is not possible with type ClusterIP"
    )
)]
pub struct FrontService {
    /// ClusterIP (the default), NodePort or LoadBalancer.
    #[serde(default, rename = "type")]
    pub type_: FrontServiceType,
    /// Annotations, for example with the settings of a cloud load balancer.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Implementation of the load balancer, if not the cluster's default; only with type LoadBalancer. Kubernetes does not
    /// allow a later change: the Service must be deleted first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 316), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$"))]
    pub load_balancer_class: Option<String>,
    /// CIDRs of the clients that may use the cloud load balancer; only with type LoadBalancer. All clients by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(max = 43), regex(pattern = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$"))
    )]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Local keeps the client's address and sends only to balancers on the same node, so the cloud load balancer must not use
    /// nodes without one; only with types NodePort and LoadBalancer. Kubernetes' default is Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// Address families of the Service. Kubernetes' default is SingleStack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

/// `type` of a Service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
pub enum FrontServiceType {
    /// Inside the cluster.
    #[default]
    ClusterIP,
    /// On a port of every node.
    NodePort,
    /// Behind a cloud load balancer.
    LoadBalancer,
}

/// `externalTrafficPolicy` of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
pub enum ExternalTrafficPolicy {
    /// To balancers on all nodes.
    Cluster,
    /// To balancers on the node that got the connection.
    Local,
}

/// `ipFamilyPolicy` of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
pub enum IpFamilyPolicy {
    /// One family.
    SingleStack,
    /// Both families, if the cluster has both.
    PreferDualStack,
    /// Both families; without both, the Service is not created.
    RequireDualStack,
}
