//! `spec.failover.backends`: the standbys of a service, and the status of each.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Percent;

/// A backend that can serve the same requests: a Service, or an address outside the cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = (
        "has(self.service) != has(self.address)",
        "failover.backends must each have either service or address"
    ),
    validation = (
        "self.name != 'primary'",
        "failover.backends must not be named primary: that name is reserved for the service itself"
    )
)]
pub struct Standby {
    /// Unique name among the backends.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A Service of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<StandbyService>,
    /// An address outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<StandbyAddress>,
    /// TLS for the requests; without it, they are sent over plain HTTP. Not with provider Gateway: use a BackendTLSPolicy of
    /// the Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<StandbyTls>,
}

/// The kind of a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend<'a> {
    /// A Service of this cluster.
    Service(&'a StandbyService),
    /// An address outside the cluster.
    Address(&'a StandbyAddress),
}

impl Standby {
    /// The Service or address; `None` unless exactly one is set, as the CRD requires.
    #[must_use]
    pub fn backend(&self) -> Option<Backend<'_>> {
        match (&self.service, &self.address) {
            (Some(service), None) => Some(Backend::Service(service)),
            (None, Some(address)) => Some(Backend::Address(address)),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// A Service, and the ScalableService behind it, if any: the one with the same name, or the one whose balancers have this
/// Service (`NAME-lb`). That ScalableService is scaled up before requests move. A Service in another namespace needs such a
/// ScalableService, whose `standbyFor` must list this service. With provider Gateway, the type can't be ExternalName.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StandbyService {
    /// Namespace; by default that of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
}

/// An address outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StandbyAddress {
    /// An IP address, or a host name that the operator resolves every 10 s. Requests are spread over all of its addresses, at
    /// most 8.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$"))]
    pub host: String,
    /// Port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
}

/// TLS to a standby. The standby gets requests only if its certificate is valid for `hostname` and signed by a CA in
/// `caSecretName`; otherwise it counts as not answering.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandbyTls {
    /// DNS name that is sent as SNI and that the certificate must have, as `hostname` in the Gateway API's BackendTLSPolicy.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub hostname: String,
    /// A Secret in this namespace whose `ca.crt` has the CA certificates in PEM, as cert-manager writes it. A change is applied
    /// without losing requests.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub ca_secret_name: String,
}

/// Status of one standby. Together with the spec it has everything that the balancers need, so they read no other objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandbyStatus {
    /// Name in the spec.
    pub name: String,
    /// Share of the requests, in percent; the rest goes to the primary.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Percent,
    /// Addresses, `IP:PORT`, once they are known: all addresses of a host name, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub addresses: Vec<String>,
    /// Whether it could take the requests now.
    #[serde(default)]
    pub ready: bool,
    /// Replicas requested from its ScalableService, in addition to those for its own requests; 0 while it is not needed.
    #[serde(default)]
    pub replicas: i32,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl StandbyStatus {
    /// Maximum number of addresses of a standby.
    pub const ADDRESSES_MAX: usize = 8;
}

/// A service that may use this one as a standby.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StandbyFor {
    /// Namespace of the service.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the ScalableService.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// A standby that does not answer a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotAnswering {
    /// Name in the spec.
    pub name: String,
    /// Error of the last attempt.
    pub message: String,
}
