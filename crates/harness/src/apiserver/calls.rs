//! The calls of the clients.

use jiff::Timestamp;

use super::{failure::Failure, request::Request};

/// All kinds of calls on resources that the controller makes, besides discovery. The conformance test makes all of them on
/// this server and on the real one, and compares the responses. A custom resource as a target has the calls of the
/// ScalableService.
pub const CALLS: &[&str] = &[
    "create events",
    "create leases",
    "create pods/eviction",
    "delete backendtrafficpolicies",
    "delete deployments",
    "delete networkpolicies",
    "delete poddisruptionbudgets",
    "delete rolebindings",
    "delete roles",
    "delete serviceaccounts",
    "delete services",
    "get backendtrafficpolicies",
    "get deployments (metadata)",
    "get deployments/scale",
    "get leases",
    "get networkpolicies (metadata)",
    "get poddisruptionbudgets (metadata)",
    "get pods (metadata)",
    "get replicasets/scale",
    "get rolebindings (metadata)",
    "get roles (metadata)",
    "get scalableservices (metadata)",
    "get scalableservices/scale",
    "get serviceaccounts (metadata)",
    "get services",
    "get services (metadata)",
    "get statefulsets/scale",
    "list deployments",
    "list horizontalpodautoscalers",
    "list httproutes",
    "list nodes",
    "list pods",
    "list replicasets",
    "list scalableservices",
    "list scalableservices (metadata)",
    "list scaledobjects",
    "list statefulsets",
    "patch(apply) backendtrafficpolicies",
    "patch(apply) deployments",
    "patch(apply) networkpolicies",
    "patch(apply) poddisruptionbudgets",
    "patch(apply) rolebindings",
    "patch(apply) roles",
    "patch(apply) scalableservices/status",
    "patch(apply) serviceaccounts",
    "patch(apply) services",
    "patch(json) httproutes",
    "patch(json) scalableservices (metadata)",
    "patch(merge) events",
    "patch(merge) pods (metadata)",
    "update deployments/scale",
    "update leases",
    "update replicasets/scale",
    "update scalableservices/scale",
    "update statefulsets/scale",
    "watch deployments",
    "watch horizontalpodautoscalers",
    "watch httproutes",
    "watch nodes",
    "watch pods",
    "watch replicasets",
    "watch scalableservices",
    "watch scaledobjects",
    "watch statefulsets",
];

/// One call and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When it was answered.
    pub at: Timestamp,
    /// The client.
    pub client: String,
    /// The kind of call: one of [`CALLS`], or `discover GROUP/VERSION`.
    pub shape: String,
    /// Namespace and name of the object.
    pub object: (String, String),
    /// HTTP status of the response.
    pub code: u16,
}

impl Call {
    pub(super) fn new(client: &str, verb: &str, what: &str) -> Self {
        Self {
            at: Timestamp::UNIX_EPOCH,
            client: client.to_owned(),
            shape: format!("{verb} {what}"),
            object: Default::default(),
            code: 0,
        }
    }

    pub(super) fn of(client: &str, request: &Request) -> Self {
        let object = (request.namespace.clone().unwrap_or_default(), request.name.clone());
        Self { shape: request.shape(), object, ..Self::new(client, "", "") }
    }

    /// Checks that the conformance test covers calls of this kind.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let known = CALLS.contains(&self.shape.as_str());
        if known { Ok(()) } else { Err(Failure::not_implemented(&self.shape)) }
    }

    /// Whether it is a write.
    #[must_use]
    pub fn is_write(&self) -> bool {
        ["create", "update", "patch", "delete"].iter().any(|verb| self.shape.starts_with(verb))
    }
}
