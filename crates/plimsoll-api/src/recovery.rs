//! `spec.recovery`: replicas that answer badly are taken out of rotation and replaced. Names are those of Envoy's outlier
//! detection wherever it has one.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// `success_rate_request_volume` of Envoy's outlier detection, whose default this is too.
pub(crate) const REQUEST_VOLUME: i32 = 100;

/// What is done about replicas that are ready and yet do their work badly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// Replicas that stand out from their peers.
    pub outliers: Outliers,
}

/// Replicas that stand out from their peers (gray failure) are ejected: they get no new requests (with `traffic`) and are
/// replaced.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outliers {
    /// What is compared between the replicas, and how much worse is too much.
    pub kpi_by_pod: KpiByPod,
    /// New samples in a row that a replica must stand out in. Their ranges do not overlap, so that one failed request is in
    /// one of them: with a range of 1m three samples take three minutes.
    #[serde(default = "samples")]
    #[schemars(range(min = 1, max = 100))]
    pub samples: i32,
    /// Most replicas that may be missing because of it, in percent, rounded down, but at least one. Those that are not
    /// ready count too, so that an ejection never comes on top of another trouble.
    #[serde(default = "max_ejection_percent")]
    #[schemars(range(min = 1, max = 50))]
    pub max_ejection_percent: i32,
    /// How long a replica is out that is not replaced, from 1s to 1h; twice as long with each relapse, at most 1h.
    #[serde(default = "base_ejection_time")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
        "recovery.outliers.baseEjectionTime must be a duration from 1s to 1h"
    ))]
    #[schemars(length(max = 16))]
    pub base_ejection_time: Duration,
    /// Whether ejected replicas are evicted once their requests are over, one at a time and while all others are ready.
    /// PodDisruptionBudgets are respected.
    #[serde(default = "replace")]
    pub replace: bool,
}

/// A question whose answer has a number for each replica, the higher the worse.
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
    /// PromQL whose answer has one series for each pod with a label `pod`: a share of errors, a latency. A pod without a
    /// number (0/0 without requests) is not judged.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// Name of a Prometheus source in the operator's configuration.
    #[serde(default = "default_source")]
    #[schemars(length(min = 1, max = 63))]
    pub source: String,
    /// How many times the median of its peers a replica must exceed.
    #[serde(default = "above")]
    pub above: Quantity,
    /// What it must reach besides, in the unit of the query, so that noise among small numbers ejects nobody.
    pub at_least: Quantity,
    /// Fewest requests of a replica within the range of the query for its number to count, as
    /// `success_rate_request_volume` of Envoy, whose default this is; 0 for any number. Replicas with fewer are not
    /// judged and are left out of the comparison. Applies to a query whose requests are known: see `volumeQuery`.
    #[serde(default = "request_volume")]
    #[schemars(range(min = 0))]
    pub request_volume: i32,
    /// PromQL for the number of requests behind the answer, with one series for each pod too; by default what the query
    /// divides by, or the observations of its `histogram_quantile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub volume_query: Option<String>,
}

/// What was done about outliers.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// Replicas that are out. With `traffic` they get no new requests; without it they do until they are evicted.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub ejected: Vec<Ejected>,
    /// Replicas that came back, until their past is forgotten an hour later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_string()]))]
    pub returned: Vec<Returned>,
    /// The last replacement, until it is forgotten an hour later.
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

/// A replica that is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ejected {
    /// Its name.
    pub pod: String,
    /// When it was ejected.
    pub since: Time,
    /// When it returns, unless it was replaced by then.
    pub until: Time,
    /// How often it was ejected, this time included.
    pub ejections: i32,
    /// When it was evicted, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted: Option<Time>,
}

/// A replica that came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Returned {
    /// Its name.
    pub pod: String,
    /// When it came back.
    pub since: Time,
    /// How often it was ejected before.
    pub ejections: i32,
}

/// The last replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replaced {
    /// When a replica was last evicted.
    pub at: Time,
    /// Evictions with less than an hour between one and the next. The pause before another one is half of
    /// `baseEjectionTime` after the first, and doubles with each.
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
