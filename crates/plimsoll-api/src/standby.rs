//! `spec.failover.backends`: the places that requests can go to instead, and what is known of each.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Percent;

/// Somewhere else that can serve the same requests: a Service, or an address outside of the cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = (
        "has(self.service) != has(self.address)",
        "failover.backends must each have either service or address"
    ),
    validation = ("self.name != 'primary'", "failover.backends must not be named primary: that is the service itself")
)]
pub struct Standby {
    /// A name that is unique among the backends.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A Service of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<StandbyService>,
    /// An address outside of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<StandbyAddress>,
    /// Requests go to it over TLS; without this, over plain HTTP. Not with provider Gateway, whose Gateway API has
    /// BackendTLSPolicy for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<StandbyTls>,
}

/// Where a standby is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend<'a> {
    /// A Service of this cluster.
    Service(&'a StandbyService),
    /// An address outside of the cluster.
    Address(&'a StandbyAddress),
}

impl Standby {
    /// Where it is; `None` unless it says exactly one of both, as the CRD demands.
    #[must_use]
    pub fn backend(&self) -> Option<Backend<'_>> {
        match (&self.service, &self.address) {
            (Some(service), None) => Some(Backend::Service(service)),
            (None, Some(address)) => Some(Backend::Address(address)),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// A Service, and the ScalableService behind it if there is one: of the same name, or the one whose balancers' Service
/// (`NAME-lb`) it is. That one is scaled up before requests move. A Service of another namespace needs such a ScalableService,
/// which must name this service in its `standbyFor`. One of type ExternalName can't be a standby behind a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StandbyService {
    /// Namespace; that of this service by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
}

/// An address outside of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StandbyAddress {
    /// An IP address, or a name that the operator resolves every 10 s. Requests are spread over all of its addresses, 8 at
    /// most.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$"))]
    pub host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
}

/// TLS to a standby. Its certificate must be valid, for `hostname`, and of an authority of `caSecretName`; or it gets no
/// request and counts as one that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandbyTls {
    /// The DNS name that it is asked for (SNI) and that its certificate must have, as `hostname` of the Gateway API's
    /// BackendTLSPolicy.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub hostname: String,
    /// A Secret of this namespace whose `ca.crt` has the certificates of the authorities, in PEM, as cert-manager writes
    /// it. A new one is taken without losing a request.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub ca_secret_name: String,
}

/// One standby. What the balancers need of it is all here and in the spec, so that they need nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandbyStatus {
    /// Its name in the spec.
    pub name: String,
    /// Its share of the requests, in percent; the rest is the primary's.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Percent,
    /// Where it is, `IP:PORT`, once that is known: all addresses of a name, 8 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub addresses: Vec<String>,
    /// Whether it would take the requests now.
    #[serde(default)]
    pub ready: bool,
    /// Replicas that are asked of its ScalableService, above those that it needs itself; 0 while it is not needed.
    #[serde(default)]
    pub replicas: i32,
    /// What keeps it from being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl StandbyStatus {
    /// Most addresses of a standby: as many as are used at a time.
    pub const ADDRESSES_MAX: usize = 8;
}

/// A service whose standby this one may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StandbyFor {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of its ScalableService.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// A standby that does not answer a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotAnswering {
    /// Its name in the spec.
    pub name: String,
    /// What came of the last attempt.
    pub message: String,
}
