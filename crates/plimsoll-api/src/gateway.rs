//! `spec.traffic.gateway`: the rule of a user's HTTPRoute whose weights follow `spec.failover`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One rule of an HTTPRoute (Gateway API 1.4 or newer) in the namespace of the service. Plimsoll sets the weights of its
/// `backendRefs`, which must exist: one for the service, and one for each standby of `failover`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRule {
    /// Name of the HTTPRoute.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub http_route: String,
    /// Name of the rule.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub rule: String,
    /// Name of the Service in the rule that belongs to this service; by default the name of the ScalableService.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub service: Option<String>,
}
