//! `spec.failover`: where requests go when this service can't serve them, and when they come back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{KubeSchema, core::Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Percent, Quantity, Standby, StandbyStatus};

/// Name of the service itself among the backends.
pub const PRIMARY: &str = "primary";

/// Annotation that a person sets: the name of the backend that gets all requests. For a standby that holds until the
/// annotation is taken away; for the primary until they are back.
pub const FAILOVER_TO_ANNOTATION: &str = "plimsoll.dev/failover-to";
/// Annotation that a person sets: nothing is moved until it is taken away; its value says why.
pub const FREEZE_ANNOTATION: &str = "plimsoll.dev/failover-freeze";

/// Standbys, and when requests move to them and back.
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
    /// When they come back.
    #[serde(default)]
    pub r#return: Return,
    /// Most switches to a standby within an hour; then a primary that fails and yet serves keeps its requests until the
    /// hour is over, or a person moves requests, which starts the count anew. One that serves nothing, or fails while
    /// requests come back, is left in any case. A return is no switch and needs none: once the primary has been well
    /// for `return.for`, doubled with each switch of the hour, it gets its requests back. A move to a standby without a ready replica while the primary
    /// has none either is no switch.
    #[serde(default = "max_switches")]
    #[schemars(range(min = 2, max = 60))]
    pub max_switches_per_hour: i32,
}

/// When requests leave the primary: any of the conditions, in `samples` of the last `of` samples.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("self.samples <= self.of", "failover.leave.samples must not be above of"))]
pub struct Leave {
    /// Signs that the primary fails; by default less than half of its replicas ready. That none at all is ready is one in
    /// any case.
    #[serde(default = "leave_when")]
    #[schemars(length(min = 1, max = 8))]
    pub when: Vec<LeaveCondition>,
    /// Bad samples of the last `of` that it takes. Readiness is sampled twice a second once it is bad, a KPI whenever it
    /// has a new sample, but not before the range of its query is over: ranges of samples do not overlap, so that one failed
    /// request is in one sample. With a range of 10s three samples take half a minute. What is unknown is no sample.
    #[serde(default = "leave_samples")]
    #[schemars(range(min = 1, max = 20))]
    pub samples: i32,
    /// Samples that are looked at.
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
        "failover.leave.when.requestVolume needs a kpi: readiness is no matter of requests"
    )
)]
pub struct LeaveCondition {
    /// Fewer of the replicas that were ready before are ready now, as a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ratio_below: Option<Quantity>,
    /// Name of a KPI of `spec.kpis`. If its query is answered with nothing, that is no sign: without requests there is no
    /// share of errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kpi: Option<String>,
    /// The value of the KPI that is too much, in the unit of its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Quantity>,
    /// Fewest requests within the range of the KPI's query for its value to count, 100 by default, as
    /// `success_rate_request_volume` of Envoy; 0 for any number. With fewer the sign is unknown: neither bad nor good. Applies to
    /// a KPI whose requests are known: see `volumeQuery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub request_volume: Option<i32>,
}

/// When requests come back to the primary.
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
    /// More of the replicas than this share are ready.
    #[serde(default = "ready_ratio_above")]
    pub ready_ratio_above: Quantity,
    /// For so long, from 1s to 24h, without a sign of failure and while Prometheus answers; and not before so long after
    /// they left, which doubles with each relapse within an hour, up to an hour.
    #[serde(default = "return_for")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('24h')",
        "failover.return.for must be a duration from 1s to 24h"
    ))]
    #[schemars(length(max = 16))]
    pub r#for: Duration,
    /// Automatic, or Manual: not before a person says so.
    #[serde(default)]
    pub mode: ReturnMode,
    /// Shares of the requests, in percent, that the primary gets step by step. Each stands for 30 s, or `for` where that
    /// is shorter; a sign of failure takes all of it back.
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

/// Who says that requests come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReturnMode {
    /// The evidence.
    #[default]
    Automatic,
    /// A person, with `kubectl plimsoll failover NAME --to primary`.
    Manual,
}

/// Where requests go, and what is known of the standbys.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverStatus {
    /// Where the failover stands.
    pub state: FailoverState,
    /// Since when.
    pub since: Time,
    /// The backend that requests go to, or are on their way to.
    pub active: String,
    /// Replicas of the primary that were ready before it failed: what a share of ready ones is a share of.
    #[serde(default)]
    pub expected_replicas: i32,
    /// Replicas that the primary wanted when requests left it: what the standby is asked for. 0 while they are there.
    #[serde(default)]
    pub needed_replicas: i32,
    /// When requests began to move to a standby, within the last hour and since a person last moved them; the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "moments")]
    pub switches: Vec<Time>,
    /// Before this moment they don't come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Time>,
    /// The annotation that sent requests back to the primary, once they are there: the evidence decides again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_override: Option<String>,
    /// Each standby, in the order of the spec.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub backends: Vec<StandbyStatus>,
}

impl FailoverStatus {
    /// What is known of a standby.
    #[must_use]
    pub fn standby(&self, name: &str) -> Option<&StandbyStatus> {
        self.backends.iter().find(|standby| standby.name == name)
    }

    /// The share of the requests that standbys get together.
    #[must_use]
    pub fn away(&self) -> Percent {
        self.backends.iter().map(|standby| standby.weight).sum()
    }
}

/// Where a failover stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr,
)]
pub enum FailoverState {
    /// The service itself gets all requests.
    #[default]
    Primary,
    /// So it does, but there are signs that it fails.
    Suspect,
    /// Requests move to a standby, as fast as it can take them.
    Shifting,
    /// A standby gets all requests.
    Standby,
    /// Requests come back, step by step.
    Returning,
    /// The primary fails and keeps its requests, since they were moved too often within the hour.
    Held,
    /// Nothing is moved: the evidence is unknown, or a person said so.
    Frozen,
}

/// Without the description that Go's type has.
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
