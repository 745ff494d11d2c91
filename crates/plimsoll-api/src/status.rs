//! What a user reads.

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
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Replicas that the target wants now (its `spec.replicas`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Replicas that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Replicas that Plimsoll wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Selector of the target's pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// When the replicas were last changed by Plimsoll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// The printer columns.
    #[serde(default)]
    pub summary: Summary,
    /// The last look at each KPI that changed what is shown.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub kpis: Vec<KpiStatus>,
    /// The last decisions that changed something, the newest first; at most 8.
    #[serde(default)]
    pub decisions: Vec<DecisionRecord>,
    /// What the load balancer in front of the service does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// What was done about replicas that stand out from their peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
    /// Where requests go (written by the controller; the balancers follow it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverStatus>,
    /// `Ready`, `Reconciling`, `Stalled` (kstatus) and `MetricsAvailable`, `ScalingActive`, `ScalingLimited`,
    /// `TrafficSynced`, `TrafficHeadroom`, `ReplicasHealthy`, `FailoverReady`, `PrimaryActive`, `ZonesServing`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
}

impl ScalableServiceStatus {
    /// Length of the ring of decisions, as the description of `decisions` has it.
    pub const DECISIONS_MAX: usize = 8;
}

/// The printer columns, ready to print.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// `deployment/checkout`.
    #[serde(default)]
    pub target: String,
    /// Ready and desired replicas: `6/7`.
    #[serde(default)]
    pub replicas: String,
    /// Least and most replicas: `3-60`.
    #[serde(default)]
    pub range: String,
    /// The KPI nearest its limit, with value and target for all replicas: `throughput 812/960`.
    #[serde(default)]
    pub kpi: String,
    /// What bound the last decision, in a word.
    #[serde(default)]
    pub why: String,
}

/// One KPI as it was last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KpiStatus {
    /// Its name in the spec.
    pub name: String,
    /// Its type in the spec.
    #[serde(rename = "type")]
    pub type_: KpiType,
    /// What the sample is worth.
    pub state: KpiState,
    /// The value, in the unit of the query; the last known one when the sample is not fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// perReplica, target or atMost, as a number.
    pub target: f64,
    /// How much of what is allowed is used, 1 being the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<f64>,
    /// Replicas that it proposes, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<i32>,
    /// When Prometheus took the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_time: Option<Time>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a sample is worth. Only `Fresh` may lower anything.
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
    /// Taken recently, complete, a number.
    Fresh,
    /// Older than its source allows.
    Stale,
    /// Prometheus has no such series.
    Empty,
    /// Some series are missing, or Prometheus warned that its answer may be incomplete.
    Partial,
    /// Not a number, or infinite.
    NaN,
    /// No usable answer: refused, too late, too large, not understood.
    Error,
}

/// A decision that changed something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// When.
    pub time: Time,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
    /// Every step, in order.
    #[serde(default, deserialize_with = "known_steps")]
    pub reasons: Vec<StepRecord>,
}
