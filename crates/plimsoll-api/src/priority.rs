//! Criticality of services and requests: `spec.criticality` and `spec.traffic.priorities`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::EnumIter;

/// Criticality of matching requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Priority {
    /// Selects the requests.
    #[serde(rename = "match")]
    pub match_: RequestMatch,
    /// Criticality of these requests; requests without a match are Critical.
    pub criticality: Criticality,
}

/// Selects requests: all fields that are set must match.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.pathPrefix) || has(self.header)",
    "traffic.priorities.match needs a pathPrefix or a header"
))]
pub struct RequestMatch {
    /// Prefix of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[A-Za-z0-9._~!$&()*+,;=:@%/-]*$"))]
    pub path_prefix: Option<String>,
    /// A header with exactly this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderMatch>,
}

/// A header with exactly this value, as the Gateway API's `HTTPHeaderMatch` of type Exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderMatch {
    /// Name, case-insensitive.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// Exact value; printable ASCII.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[ -~]+$"))]
    pub value: String,
}

/// Criticality of a service, from Google's load-shedding classes (SRE book, chapter 21). In this order, the most critical first.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumIter,
)]
pub enum Criticality {
    /// Must never be degraded.
    CriticalPlus,
    /// Users notice a degradation immediately.
    #[default]
    Critical,
    /// May be degraded for minutes.
    SheddablePlus,
    /// May be off for hours.
    Sheddable,
}
