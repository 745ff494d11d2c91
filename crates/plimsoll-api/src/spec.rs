//! `spec` of a ScalableService. Field names are those of autoscaling/v2 where it has one.

use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Carrier, Consumes, Criticality, Dependency, Failover, GatewayRule, Kpi, Quantity, Recovery,
    ScalableServiceStatus, StandbyFor, Traffic,
};

/// Desired behavior of a ScalableService.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "ScalableService",
    plural = "scalableservices",
    singular = "scalableservice",
    shortname = "ssvc",
    category = "plimsoll",
    namespaced,
    status = "ScalableServiceStatus",
    derive = "PartialEq",
    validation = Rule::new(
        "!has(self.spec.failover) || self.spec.failover.backends.all(b, !has(b.service) || has(b.service.namespace) || \
         !(b.service.name in [self.metadata.name, self.metadata.name + '-lb']))"
    )
    .message("failover.backends.service must not be this service's own Service or that of its balancers"),
    validation = Rule::new("!has(self.spec.dependsOn) || self.spec.dependsOn.all(d, d.name != self.metadata.name)")
        .message("dependsOn must not have this service itself"),
    doc = "ScalableService keeps one workload within its objectives: it queries KPIs from Prometheus and adjusts the replicas.",
    scale(
        spec_replicas_path = ".spec.minReplicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Target", type_ = "string", json_path = ".status.summary.target"),
    printcolumn(name = "Ready/Desired", type_ = "string", json_path = ".status.summary.replicas"),
    printcolumn(name = "Min-Max", type_ = "string", json_path = ".status.summary.range"),
    printcolumn(name = "KPI", type_ = "string", json_path = ".status.summary.kpi"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = 1),
    printcolumn(name = "Criticality", type_ = "string", json_path = ".spec.criticality", priority = 1),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.summary.why", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.minReplicas <= self.maxReplicas", "minReplicas must not be above maxReplicas"),
    validation = (
        "size(self.kpis) > 0 || size(self.schedule) > 0",
        "kpis and schedule are both empty: at least one KPI or schedule entry is required"
    ),
    validation = (
        "self.minReplicas > 0 || size(self.kpis) == 0 || self.kpis.exists(k, k.type == 'Load')",
        "minReplicas 0 needs a KPI of type Load: only a load shows demand while no replica runs"
    ),
    validation = (
        "self.minReplicas > 0 || !has(self.traffic) || self.traffic.provider != 'NGINX'",
        "minReplicas 0 is not possible with traffic.provider NGINX, which can't hold requests while no replica runs"
    ),
    validation = (
        "self.minReplicas > 0 || !has(self.traffic) || self.traffic.provider != 'Gateway'",
        "minReplicas 0 is not possible with traffic.provider Gateway, which can't hold requests while no replica runs"
    ),
    validation = (
        "self.schedule.all(s, s.minReplicas <= self.maxReplicas)",
        "schedule.minReplicas must not be above maxReplicas"
    ),
    validation = (
        "!has(self.recovery) || (has(self.traffic) && self.traffic.provider != 'Gateway') || \
         self.recovery.outliers.replace",
        "recovery.outliers.replace must be true without a balancer that Plimsoll runs: replacement is then the only remedy"
    ),
    validation = (
        "!has(self.failover) || has(self.traffic)",
        "failover needs traffic: only a load balancer can send requests elsewhere"
    ),
    validation = (
        "!has(self.failover) || !has(self.traffic) || self.traffic.provider != 'Gateway' || \
         self.failover.backends.all(b, !has(b.address))",
        "failover.backends must each have a service with traffic.provider Gateway: an HTTPRoute has no addresses"
    ),
    validation = (
        "!has(self.failover) || !has(self.traffic) || self.traffic.provider != 'Gateway' || \
         self.failover.backends.all(b, !has(b.tls))",
        "failover.backends.tls is not possible with traffic.provider Gateway: use a BackendTLSPolicy of the Gateway API"
    ),
    validation = (
        "!has(self.failover) || !has(self.traffic) || self.traffic.provider != 'NGINX' || \
         self.failover.backends.all(b, !has(b.tls) || self.failover.backends.all(c, !has(c.tls) || \
         b.tls.caSecretName == c.tls.caSecretName))",
        "failover.backends.tls.caSecretName must be the same for all backends with traffic.provider NGINX, which has one CA \
         bundle"
    ),
    validation = (
        "!has(self.failover) || self.failover.leave.when.all(w, !has(w.kpi) || self.kpis.exists(k, k.name == w.kpi))",
        "failover.leave.when.kpi must be the name of a KPI in kpis"
    )
)]
pub struct ScalableServiceSpec {
    /// Auto (the default) scales the target; Observe reports decisions and writes nothing to the target; Paused keeps the
    /// replicas as they are.
    #[serde(default)]
    pub mode: Mode,
    /// Importance of this service. When many services are due at the same time, the more critical ones go first; when capacity is
    /// scarce, they get it first.
    #[serde(default)]
    pub criticality: Criticality,
    /// Share of scarce capacity, relative to services of the same criticality.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: i32,
    /// The workload to scale: any resource in the same namespace with a scale subresource.
    pub scale_target_ref: ScaleTargetRef,
    /// Minimum number of replicas; 0 allows scaling to zero. `kubectl scale` on a ScalableService sets this field.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_replicas: i32,
    /// Maximum number of replicas.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_replicas: i32,
    /// Maximum time between two evaluations of the KPIs, from 1s to 10m.
    #[serde(default = "default_period")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('10m')",
        "period must be a duration from 1s to 10m"
    ))]
    #[schemars(length(max = 16))]
    pub period: Duration,
    /// Metrics and their targets; the largest proposal wins.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    #[schemars(length(max = 16))]
    pub kpis: Vec<Kpi>,
    /// Rates of scale-up and scale-down, as in autoscaling/v2.
    #[serde(default)]
    pub behavior: Behavior,
    /// Higher minimums at scheduled times.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    #[schemars(length(max = 16))]
    pub schedule: Vec<ScheduleEntry>,
    /// The load balancer in front of the service; without it, Plimsoll does not manage traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Ejection and replacement of replicas that are ready but perform badly; without it, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Standbys for the requests that this service can't serve; needs `traffic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// Services in other namespaces that may use this one as a standby: their failover may look up its Services and raise its
    /// replicas, up to maxReplicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub standby_for: Vec<StandbyFor>,
    /// Services of the same namespace that this one needs. When capacity is scarce, what is kept for this service is kept for
    /// them, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    #[schemars(length(max = 16))]
    pub depends_on: Vec<Dependency>,
    /// What each replica uses of capacity that services share. A CapacityBudget lists the namespaces that may consume it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["budgetName".to_string()]))]
    #[schemars(length(max = 16))]
    pub consumes: Vec<Consumes>,
}

impl ScalableServiceSpec {
    /// What carries the requests; `None` without `traffic`, and for a Gateway without a rule, which the CRD refuses.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier<'_>> {
        let traffic = self.traffic.as_ref()?;
        match traffic.provider.software() {
            Some(_) => Some(Carrier::Balancers(traffic)),
            None => traffic.gateway.as_ref().map(Carrier::Rule),
        }
    }

    /// `traffic`, if Plimsoll runs balancers for it.
    #[must_use]
    pub fn balanced(&self) -> Option<&Traffic> {
        match self.carrier()? {
            Carrier::Balancers(traffic) => Some(traffic),
            Carrier::Rule(_) => None,
        }
    }

    /// The rule whose weights failover sets, if a Gateway carries the requests.
    #[must_use]
    pub fn steered(&self) -> Option<&GatewayRule> {
        match self.carrier()? {
            Carrier::Balancers(_) => None,
            Carrier::Rule(rule) => Some(rule),
        }
    }
}

/// Whether Plimsoll may write to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Decide and act.
    #[default]
    Auto,
    /// Decide and report, but write nothing to the target.
    Observe,
    /// Keep the replicas as they are.
    Paused,
}

/// A workload with a scale subresource, as in autoscaling/v2 `CrossVersionObjectReference`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!self.apiVersion.startsWith('plimsoll.dev/')",
    "scaleTargetRef must not be a resource of plimsoll.dev: name the workload itself"
))]
pub struct ScaleTargetRef {
    /// Group and version, for example `apps/v1`.
    #[serde(default = "apps_v1")]
    #[schemars(length(min = 1, max = 128))]
    pub api_version: String,
    /// Kind, for example `Deployment`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Name, in the namespace of the ScalableService.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// autoscaling/v2 `HorizontalPodAutoscalerBehavior`, with Plimsoll's defaults.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!has(self.scaleUp.tolerance) || (isQuantity(string(self.scaleUp.tolerance)) && \
         !quantity(string(self.scaleUp.tolerance)).isLessThan(quantity('0')) && \
         quantity(string(self.scaleUp.tolerance)).isLessThan(quantity('1')))",
        "behavior.scaleUp.tolerance must be a quantity of at least 0 and below 1, for example \"0.1\""
    ),
    validation = (
        "!has(self.scaleDown.tolerance) || (isQuantity(string(self.scaleDown.tolerance)) && \
         !quantity(string(self.scaleDown.tolerance)).isLessThan(quantity('0')) && \
         quantity(string(self.scaleDown.tolerance)).isLessThan(quantity('1')))",
        "behavior.scaleDown.tolerance must be a quantity of at least 0 and below 1, for example \"0.1\""
    )
)]
pub struct Behavior {
    /// Scale-up: by default immediate and without a rate limit.
    #[serde(default = "scale_up_rules")]
    pub scale_up: ScalingRules,
    /// Scale-down: by default to the highest proposal of the last 300 s.
    #[serde(default = "scale_down_rules")]
    pub scale_down: ScalingRules,
}

/// No stabilization of a scale-up: autoscaling/v2's default.
pub(super) const UP_WINDOW_S: i32 = 0;
/// Five minutes for a scale-down: autoscaling/v2's default.
pub(super) const DOWN_WINDOW_S: i32 = 300;

impl Default for Behavior {
    fn default() -> Self {
        Self { scale_up: scale_up_rules(), scale_down: scale_down_rules() }
    }
}

fn scale_up_rules() -> ScalingRules {
    ScalingRules { stabilization_window_seconds: Some(UP_WINDOW_S), ..ScalingRules::default() }
}

fn scale_down_rules() -> ScalingRules {
    ScalingRules { stabilization_window_seconds: Some(DOWN_WINDOW_S), ..ScalingRules::default() }
}

/// autoscaling/v2 `HPAScalingRules`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds (0..3600) over which the most cautious proposal counts; 0 by default for a scale-up, 300 for a scale-down. For a
    /// scale-down it is at least the longest range of the queries (`[1m]`), since a rate describes its whole range. A value
    /// above 0 is raised to at least two periods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of several policies applies: Max (the default), Min, or Disabled for no change in this direction.
    #[serde(default)]
    pub select_policy: SelectPolicy,
    /// Limits of the change per period; none by default.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
    /// Relative distance from the target (0..1) within which the replicas stay; 0.1 by default (KEP-4951).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Quantity>,
}

/// Which of several policies applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// autoscaling/v2 `HPAScalingPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods (a number) or Percent (of the replicas at the start of the period).
    #[serde(rename = "type")]
    pub type_: PolicyType,
    /// Maximum change within the period.
    #[schemars(range(min = 1, max = 100_000))]
    pub value: i32,
    /// Length of the period in seconds, 1..1800.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// Unit of a policy's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// A number of pods.
    Pods,
    /// Percent of the replicas at the start of the period.
    Percent,
}

/// A higher minimum that applies for some time after each start of a cron expression.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleEntry {
    /// A name that is unique within the service.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// IANA name of the time zone of `start`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: String,
    /// Start, as a cron expression of five fields (minute, hour, day of month, month, day of week), with names (MON, JAN), L
    /// (`L * *` the last day of a month, `* * 5L` its last Friday), W and #. A start that daylight saving skips in spring is at
    /// the end of the gap; one that occurs twice in autumn counts once.
    #[schemars(length(min = 9, max = 128), regex(pattern = r"^\S+ +\S+ +\S+ +\S+ +\S+$"))]
    pub start: String,
    /// Duration, from 1m to 168h.
    #[x_kube(validation = (
        "duration(self) >= duration('1m') && duration(self) <= duration('168h')",
        "schedule.duration must be a duration from 1m to 168h"
    ))]
    #[schemars(length(max = 16))]
    pub duration: Duration,
    /// Minimum number of replicas during that time.
    #[schemars(range(min = 1, max = 100_000))]
    pub min_replicas: i32,
}

fn one() -> i32 {
    1
}

fn apps_v1() -> String {
    "apps/v1".into()
}

fn utc() -> String {
    "UTC".into()
}

fn default_period() -> Duration {
    std::time::Duration::from_secs(15).into()
}
