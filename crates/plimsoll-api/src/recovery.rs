//! `spec.recovery`: ejection and replacement of outliers. Names are those of Envoy's outlier detection where it has one.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// The default of `success_rate_request_volume` in Envoy's outlier detection.
pub(crate) const REQUEST_VOLUME: i32 = 100;

/// Ejection and replacement of replicas that are ready but perform badly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// Detection of replicas that perform worse than their peers.
    pub outliers: Outliers,
}

/// Replicas that perform worse than their peers (gray failure) are ejected: they get no new requests (with `traffic`) and are
/// replaced.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outliers {
    /// The compared value, and its limits.
    pub kpi_by_pod: KpiByPod,
    /// Number of consecutive samples in which a replica must be an outlier. Their ranges do not overlap, so one failed request
    /// is in one sample only: with a range of 1m, three samples take three minutes.
    #[serde(default = "samples")]
    #[schemars(range(min = 1, max = 100))]
    pub samples: i32,
    /// Maximum percentage of the replicas that may be missing, including the one to be ejected; rounded down, but at least one
    /// replica. Replicas that are not ready count as missing too, so an ejection does not aggravate another failure.
    #[serde(default = "max_ejection_percent")]
    #[schemars(range(min = 1, max = 50))]
    pub max_ejection_percent: i32,
    /// Duration of an ejection without replacement, from 1s to 1h; it doubles with each relapse, up to 1h.
    #[serde(default = "base_ejection_time")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
        "recovery.outliers.baseEjectionTime must be a duration from 1s to 1h"
    ))]
    #[schemars(length(max = 16))]
    pub base_ejection_time: Duration,
    /// Whether ejected replicas are evicted once their requests are complete, one at a time and only while all others are
    /// ready. PodDisruptionBudgets are respected.
    #[serde(default = "replace")]
    pub replace: bool,
}

/// A query with one value per replica; higher values are worse.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "isQuantity(string(self.above)) && quantity(string(self.above)).isGreaterThan(quantity('1'))",
        "recovery.outliers.kpiByPod.above must be a quantity above 1, for example \"3\""
    ),
    validation = (
        "isQuantity(string(self.atLeast)) && quantity(string(self.atLeast)).isGreaterThan(quantity('0'))",
        "recovery.outliers.kpiByPod.atLeast must be a quantity above 0, for example \"0.05\""
    )
)]
pub struct KpiByPod {
    /// PromQL whose result has one series per pod with a label `pod`, such as an error ratio or a latency. A pod without a
    /// value (0/0 without requests) is not evaluated.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// Name of a Prometheus source in the operator's configuration.
    #[serde(default = "default_source")]
    #[schemars(length(min = 1, max = 63))]
    pub source: String,
    /// Factor by which an outlier exceeds the median of its peers.
    #[serde(default = "above")]
    pub above: Quantity,
    /// Minimum value of an outlier, in the unit of the query, so that noise of small values ejects no replica.
    pub at_least: Quantity,
    /// Minimum number of requests of a replica within the range of the query, 100 by default, as
    /// `success_rate_request_volume` of Envoy; 0 for no minimum. Replicas with fewer requests are not evaluated and not part
    /// of the comparison. Applies to a query with a known number of requests: see `volumeQuery`.
    #[serde(default = "request_volume")]
    #[schemars(range(min = 0))]
    pub request_volume: i32,
    /// PromQL for the number of requests behind the values, also with one series per pod; by default the divisor of the query,
    /// or the observations of its `histogram_quantile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub volume_query: Option<String>,
}

/// Ejected, returned and replaced outliers.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// Ejected replicas. With `traffic` they get no new requests; without it, they do until they are evicted.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub ejected: Vec<Ejected>,
    /// Replicas that returned within the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub returned: Vec<Returned>,
    /// The last replacement, if it was within the last hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

impl RecoveryStatus {
    /// The pods of `ejected`, by name.
    #[must_use]
    pub fn ejected_pods(&self) -> BTreeSet<String> {
        self.ejected.iter().map(|ejected| ejected.pod.clone()).collect()
    }
}

/// An ejected replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ejected {
    /// Name of the pod.
    pub pod: String,
    /// Time of the ejection.
    pub since: Time,
    /// Time of its return, unless it is replaced before.
    pub until: Time,
    /// Number of its ejections, including this one.
    pub ejections: i32,
    /// Time of its eviction, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted: Option<Time>,
}

/// A replica that returned to rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Returned {
    /// Name of the pod.
    pub pod: String,
    /// Time of its return.
    pub since: Time,
    /// Number of its ejections so far.
    pub ejections: i32,
}

/// The last replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replaced {
    /// Time of the last eviction.
    pub at: Time,
    /// Number of evictions with less than an hour between consecutive ones. The pause after the first is half of
    /// `baseEjectionTime`, and doubles with each further one.
    pub count: i32,
}

fn samples() -> i32 {
    3
}

fn max_ejection_percent() -> i32 {
    20
}

fn base_ejection_time() -> Duration {
    std::time::Duration::from_secs(30).into()
}

fn replace() -> bool {
    true
}

fn above() -> Quantity {
    Quantity("3".to_owned())
}

fn request_volume() -> i32 {
    REQUEST_VOLUME
}

fn default_source() -> String {
    "default".into()
}
