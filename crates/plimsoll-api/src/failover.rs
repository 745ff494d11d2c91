//! `spec.failover`: standbys for requests that this service can't serve, and the conditions of a switch and a return.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{KubeSchema, core::Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Percent, Quantity, Standby, StandbyStatus};

/// Name of the service itself as a backend.
pub const PRIMARY: &str = "primary";

/// Annotation for a manual override: the name of the backend that gets all requests. For a standby it applies until the
/// annotation is removed; for the primary, until the requests are back.
pub const FAILOVER_TO_ANNOTATION: &str = "plimsoll.dev/failover-to";
/// Annotation that freezes the failover until it is removed. Its value is the cause.
pub const FREEZE_ANNOTATION: &str = "plimsoll.dev/failover-freeze";

/// Standbys, and the conditions of a switch and a return.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Standbys in order of preference; the service itself, `primary`, comes before them.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    #[schemars(length(min = 1, max = 4))]
    pub backends: Vec<Standby>,
    /// When requests leave the primary.
    #[serde(default)]
    pub leave: Leave,
    /// When and how requests return to the primary.
    #[serde(default)]
    pub r#return: Return,
    /// Maximum number of switches to a standby within an hour. At the limit, a failing primary that still serves keeps its
    /// requests until the hour is over, or until a manual override moves requests, which resets the count. The limit does not
    /// apply to a primary that serves nothing, or that fails during a return. A return is not a switch: it needs a primary that
    /// is healthy for `return.for`, doubled with each switch of the hour. Nor is a move from a primary without a ready replica
    /// to a standby without one.
    #[serde(default = "max_switches")]
    #[schemars(range(min = 2, max = 60))]
    pub max_switches_per_hour: i32,
}

/// When requests leave the primary: any of the conditions, in `samples` of the last `of` samples.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "self.samples <= self.of",
    "failover.leave.samples must not be above failover.leave.of"
))]
pub struct Leave {
    /// Signs that the primary fails; by default, that less than half of its replicas are ready. No ready replica at all is
    /// always a sign.
    #[serde(default = "leave_when")]
    #[schemars(length(min = 1, max = 8))]
    pub when: Vec<LeaveCondition>,
    /// Required number of bad samples among the last `of`. Readiness is sampled twice per second while it is bad. A KPI is
    /// sampled at each new value, but at most once per range of its query: the ranges of samples do not overlap, so one failed
    /// request is in one sample only. With a range of 10s, three samples take half a minute. An unknown value is no sample.
    #[serde(default = "leave_samples")]
    #[schemars(range(min = 1, max = 20))]
    pub samples: i32,
    /// Number of last samples that are evaluated.
    #[serde(default = "leave_of")]
    #[schemars(range(min = 1, max = 20))]
    pub of: i32,
}

impl Default for Leave {
    fn default() -> Self {
        Self { when: leave_when(), samples: leave_samples(), of: leave_of() }
    }
}

/// A sign that the primary fails: its readiness, or a KPI.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "has(self.readyRatioBelow) != has(self.kpi) && has(self.kpi) == has(self.above)",
        "failover.leave.when must each have either readyRatioBelow, or kpi with above"
    ),
    validation = (
        "!has(self.readyRatioBelow) || (isQuantity(string(self.readyRatioBelow)) && \
         quantity(string(self.readyRatioBelow)).isGreaterThan(quantity('0')) && \
         !quantity(string(self.readyRatioBelow)).isGreaterThan(quantity('1')))",
        "failover.leave.when.readyRatioBelow must be a quantity above 0 and at most 1, for example \"0.5\""
    ),
    validation = (
        "!has(self.above) || isQuantity(string(self.above))",
        "failover.leave.when.above must be a quantity, for example \"0.2\""
    ),
    validation = (
        "!has(self.requestVolume) || has(self.kpi)",
        "failover.leave.when.requestVolume needs a kpi: readiness has no request volume"
    )
)]
pub struct LeaveCondition {
    /// Ratio of ready replicas to those that were ready before, below which the primary fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ratio_below: Option<Quantity>,
    /// Name of a KPI in `spec.kpis`. An empty result of its query is not a sign: without requests there is no error ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kpi: Option<String>,
    /// Value of the KPI above which the primary fails, in the unit of its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Quantity>,
    /// Minimum number of requests within the range of the KPI's query, 100 by default, as `success_rate_request_volume` of
    /// Envoy; 0 for no minimum. With fewer requests the sign is unknown: neither bad nor good. Applies to a KPI with a known
    /// number of requests: see `volumeQuery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub request_volume: Option<i32>,
}

/// When requests return to the primary.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "isQuantity(string(self.readyRatioAbove)) && \
         quantity(string(self.readyRatioAbove)).isGreaterThan(quantity('0')) && \
         quantity(string(self.readyRatioAbove)).isLessThan(quantity('1'))",
        "failover.return.readyRatioAbove must be a quantity above 0 and below 1, for example \"0.8\""
    ),
    validation = (
        "self.ramp.all(p, p >= 1) && self.ramp[size(self.ramp) - 1] == 100 && self.ramp.isSorted() && \
         self.ramp.all(p, self.ramp.exists_one(q, p == q))",
        "failover.return.ramp must be rising percentages from 1 that end with 100, for example [10, 50, 100]"
    )
)]
pub struct Return {
    /// Ratio of ready replicas that must be exceeded for a return.
    #[serde(default = "ready_ratio_above")]
    pub ready_ratio_above: Quantity,
    /// Time for which the primary must be healthy before a return, from 1s to 24h: enough ready replicas, no sign of
    /// failure, and answers from Prometheus. It is also the minimum time after the switch, which doubles with each relapse
    /// within an hour, up to an hour.
    #[serde(default = "return_for")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('24h')",
        "failover.return.for must be a duration from 1s to 24h"
    ))]
    #[schemars(length(max = 16))]
    pub r#for: Duration,
    /// Automatic, or Manual: only by a manual override.
    #[serde(default)]
    pub mode: ReturnMode,
    /// Steps of a return: shares of the requests that the primary gets, in percent. Each step takes 30 s, or `for` if that is
    /// shorter. A sign of failure moves all requests back to the standby.
    #[serde(default = "ramp")]
    #[schemars(length(min = 1, max = 10))]
    pub ramp: Vec<i32>,
}

impl Default for Return {
    fn default() -> Self {
        Self {
            ready_ratio_above: ready_ratio_above(),
            r#for: return_for(),
            mode: ReturnMode::default(),
            ramp: ramp(),
        }
    }
}

/// What triggers a return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReturnMode {
    /// The state of the primary.
    #[default]
    Automatic,
    /// A manual override: `kubectl plimsoll failover NAME --to primary`.
    Manual,
}

/// Where requests go, and the status of the standbys.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverStatus {
    /// State of the failover.
    pub state: FailoverState,
    /// Start of this state.
    pub since: Time,
    /// Backend that gets the requests, or to which they move.
    pub active: String,
    /// Replicas of the primary that were ready before it failed: the base of the ratios of ready replicas.
    #[serde(default)]
    pub expected_replicas: i32,
    /// Wanted replicas of the primary at the time of the switch, which are requested from the standby; 0 while requests are at
    /// the primary.
    #[serde(default)]
    pub needed_replicas: i32,
    /// Times of the switches to a standby, within the last hour and since the last manual override; the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "moments")]
    pub switches: Vec<Time>,
    /// Earliest time of a return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Time>,
    /// Value of the annotation `plimsoll.dev/failover-to` that has returned the requests to the primary and no longer applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_override: Option<String>,
    /// Standbys, in the order of the spec.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub backends: Vec<StandbyStatus>,
}

impl FailoverStatus {
    /// The status of a standby.
    #[must_use]
    pub fn standby(&self, name: &str) -> Option<&StandbyStatus> {
        self.backends.iter().find(|standby| standby.name == name)
    }

    /// The share of the requests that all standbys get together.
    #[must_use]
    pub fn away(&self) -> Percent {
        self.backends.iter().map(|standby| standby.weight).sum()
    }
}

/// State of a failover.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr,
)]
pub enum FailoverState {
    /// The service itself gets all requests.
    #[default]
    Primary,
    /// The service itself gets all requests, but shows signs of failure.
    Suspect,
    /// Requests move to a standby, as its capacity allows.
    Shifting,
    /// A standby gets all requests.
    Standby,
    /// Requests return to the primary in steps.
    Returning,
    /// The primary fails but keeps its requests: the limit of switches within the hour is reached.
    Held,
    /// No requests are moved: the evidence is unknown, or an annotation freezes the failover.
    Frozen,
}

/// The schema without the description of Go's type.
fn moments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "format": "date-time"}})
}

fn max_switches() -> i32 {
    3
}

fn leave_when() -> Vec<LeaveCondition> {
    vec![LeaveCondition { ready_ratio_below: Some(Quantity("0.5".to_owned())), ..LeaveCondition::default() }]
}

fn leave_samples() -> i32 {
    3
}

fn leave_of() -> i32 {
    5
}

fn ready_ratio_above() -> Quantity {
    Quantity("0.8".to_owned())
}

fn return_for() -> Duration {
    std::time::Duration::from_secs(300).into()
}

fn ramp() -> Vec<i32> {
    vec![10, 50, 100]
}
