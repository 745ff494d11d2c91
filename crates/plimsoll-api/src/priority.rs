//! How much services and requests matter: `spec.criticality`, and `spec.traffic.priorities`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much some requests matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Priority {
    /// Which requests.
    #[serde(rename = "match")]
    pub match_: RequestMatch,
    /// How much they matter; requests that nothing matches are Critical.
    pub criticality: Criticality,
}

/// Which requests: all that is named must match.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.pathPrefix) || has(self.header)",
    "traffic.priorities.match needs a pathPrefix or a header"
))]
pub struct RequestMatch {
    /// Beginning of the path.
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
    /// Name, in any case.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// Value, as it is; printable ASCII.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[ -~]+$"))]
    pub value: String,
}

/// Criticality of a service, from Google's load-shedding classes (SRE book, chapter 21).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Criticality {
    /// Must never give way.
    CriticalPlus,
    /// What users notice at once.
    #[default]
    Critical,
    /// May be degraded for minutes.
    SheddablePlus,
    /// May be off for hours.
    Sheddable,
}
