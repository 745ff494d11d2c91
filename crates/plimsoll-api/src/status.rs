//! `status` of a ScalableService.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{FailoverStatus, KpiType, RecoveryStatus, StepRecord, TrafficStatus, reason::known_steps};

/// Observed state of a ScalableService.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalableServiceStatus {
    /// Generation of the spec that this status is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Current `spec.replicas` of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Number of ready replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Number of replicas that Plimsoll wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Label selector of the target's pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Time at which Plimsoll last changed the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// Values of the printer columns.
    #[serde(default)]
    pub summary: Summary,
    /// Last reported state of each KPI.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub kpis: Vec<KpiStatus>,
    /// The last decisions that changed something, the newest first; at most 8.
    #[serde(default)]
    pub decisions: Vec<DecisionRecord>,
    /// State of the load balancer in front of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// Ejected and replaced outliers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
    /// Backends of the requests (written by the controller; the balancers follow it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverStatus>,
    /// `Ready`, `Reconciling`, `Stalled` (kstatus) and `MetricsAvailable`, `ScalingActive`, `ScalingLimited`,
    /// `TrafficSynced`, `TrafficHeadroom`, `ReplicasHealthy`, `FailoverReady`, `PrimaryActive`, `ZonesServing`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
}

impl ScalableServiceStatus {
    /// Maximum number of `decisions`; their description has it too.
    pub const DECISIONS_MAX: usize = 8;
}

/// Values of the printer columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Kind and name of the target: `deployment/checkout`.
    #[serde(default)]
    pub target: String,
    /// Ready and desired replicas: `6/7`.
    #[serde(default)]
    pub replicas: String,
    /// Minimum and maximum number of replicas: `3-60`.
    #[serde(default)]
    pub range: String,
    /// The KPI closest to its limit, with value and target for all replicas: `throughput 812/960`.
    #[serde(default)]
    pub kpi: String,
    /// Reason that determined the last decision.
    #[serde(default)]
    pub why: String,
}

/// Last reported state of one KPI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KpiStatus {
    /// Name in the spec.
    pub name: String,
    /// Type in the spec.
    #[serde(rename = "type")]
    pub type_: KpiType,
    /// Quality of the sample.
    pub state: KpiState,
    /// Value in the unit of the query; the last known one if the sample is not fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// perReplica, target or atMost, as a number.
    pub target: f64,
    /// Value relative to its limit: 1 is the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<f64>,
    /// Number of replicas that it proposes, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<i32>,
    /// Time of the sample in Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_time: Option<Time>,
    /// Why the sample is not fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Quality of a sample. Only `Fresh` allows a scale-down.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::EnumIter,
    IntoStaticStr,
)]
pub enum KpiState {
    /// A recent, complete number.
    Fresh,
    /// Older than its source allows.
    Stale,
    /// Prometheus returned no series.
    Empty,
    /// Some series are missing, or Prometheus warned that its result may be incomplete.
    Partial,
    /// Not a number, or infinite.
    NaN,
    /// No usable response: refused, too late, too large or not parsable.
    Error,
}

/// A decision that changed something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// Time of the decision.
    pub time: Time,
    /// Replicas before the decision.
    pub from: i32,
    /// Replicas after the decision.
    pub to: i32,
    /// All steps, in order.
    #[serde(default, deserialize_with = "known_steps")]
    pub reasons: Vec<StepRecord>,
}
