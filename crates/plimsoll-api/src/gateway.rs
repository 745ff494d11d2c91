//! `spec.traffic.gateway`: the part of somebody's HTTPRoute that follows `spec.failover`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One rule of an HTTPRoute (Gateway API 1.4 or newer) in the service's own namespace. Plimsoll sets the weights of its
/// `backendRefs`, which must be there: one for the service, and one for each standby of `failover`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRule {
    /// Name of the HTTPRoute.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub http_route: String,
    /// Name of the rule.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub rule: String,
    /// Name of the Service in the rule that stands for this service; the ScalableService's own name by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub service: Option<String>,
}
