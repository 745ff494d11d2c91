//! The one closed set of reasons: status, events, metrics, the command line and conditions all use it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, IntoStaticStr};

/// Why something was decided, limited or refused.
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
    EnumIter,
    IntoStaticStr,
)]
pub enum ReasonCode {
    // What the KPIs propose.
    /// A Load KPI proposes total / perReplica.
    LoadProposal,
    /// The newest scrape is far above the window's average and is used instead.
    BurstProposal,
    /// A Utilization KPI proposes by autoscaling/v2's arithmetic.
    UtilizationProposal,
    /// A KPI is so close to its target that it proposes what there is.
    WithinTolerance,
    /// An Objective is broken and more replicas are tried.
    ObjectiveBreached,
    /// An Objective is broken; the replicas added for it are still starting or settling.
    ObjectiveSettling,
    /// An Objective is near its limit: no scale-down.
    ObjectiveNear,
    /// More replicas did not bring an Objective back: no further raise for it.
    ScalingIneffective,
    /// A KPI has no fresh sample and proposes nothing.
    KpiNotFresh,
    /// A KPI's empty answer counts as 0, as the user said.
    EmptyMeansZero,
    /// Nothing can be told from a replica average while no replica is ready.
    NoReadyReplicas,
    /// Requests wait at the load balancer and no replica is there to serve them.
    RequestsHeld,
    /// All replicas of a zone are lost: the others are raised for its share.
    ZoneLost,

    // What happens to the largest proposal, in order.
    /// A schedule lifts the floor.
    ScheduleFloor,
    /// No scale-down: a KPI that would vote for it has no fresh sample.
    HeldWithoutEvidence,
    /// No scale-down: this is the first look after a start or a change of leader.
    HeldOnFirstLook,
    /// No scale-down while a burst lasts.
    HeldForBurst,
    /// The lowest proposal of the scale-up window holds.
    ScaleUpStabilized,
    /// The highest proposal of the scale-down window holds.
    ScaleDownStabilized,
    /// A scale-up policy limits the change.
    ScaleUpRateLimited,
    /// A scale-down policy limits the change.
    ScaleDownRateLimited,
    /// Raised for the requests of another service, whose standby this one is.
    StandbyFloor,
    /// Raised for requests that come back from a standby.
    ReturnFloor,
    /// Raised to minReplicas.
    MinReplicas,
    /// Lowered to maxReplicas.
    MaxReplicas,
    /// Replicas that are to go finish their requests first.
    Draining,
    /// Replicas went although requests were left: `drain.timeout` was over.
    DrainTimedOut,

    // How it ends.
    /// The replicas are what they should be.
    Steady,
    /// Replicas were raised.
    ScaledUp,
    /// Replicas were lowered.
    ScaledDown,
    /// mode: Observe: decided and reported, nothing written.
    Observing,
    /// mode: Paused: held as it is.
    Paused,

    // Why Plimsoll can't work for this service.
    /// The spec says something that can't be; the message names the field.
    InvalidSpec,
    /// The target does not exist.
    TargetNotFound,
    /// The target has no scale subresource, or its kind is not served.
    TargetNotScalable,
    /// Something else scales the same target.
    ScalerConflict,
    /// The scale could not be read or written.
    ScaleFailed,
    /// No KPI has a fresh sample.
    MetricsUnavailable,
    /// Some KPI has no fresh sample.
    MetricsIncomplete,
    /// Every KPI has a fresh sample.
    MetricsFresh,
    /// Desired replicas lie within the limits.
    WithinLimits,
    /// Replicas are on their way to what is desired.
    Progressing,

    // Zones.
    /// No zone that has replicas is lost.
    ZonesServing,

    // The load balancer.
    /// Every balancer runs what is wanted of it.
    BalancersInSync,
    /// Balancers are starting, or taking a change over.
    BalancersStarting,
    /// A balancer says what keeps it from what is wanted of it.
    BalancerOutOfSync,
    /// The balancers could not be brought about.
    BalancersFailed,
    /// No balancer is near the most that it can take.
    HeadroomLeft,
    /// A balancer is near the most that it can take.
    BalancersSaturated,

    // The rule of an HTTPRoute.
    /// The rule has the weights that failover wants, its Gateways have accepted them, and it answers.
    RouteInSync,
    /// The weights of the rule were changed.
    RouteChanged,
    /// The Gateways are taking a change over.
    RouteProgressing,
    /// There is no such HTTPRoute, or the cluster has no Gateway API.
    RouteNotFound,
    /// Plimsoll can't steer the rule; the message says what is wrong with it.
    RouteRefused,
    /// A Gateway's controller does not accept the route.
    RouteNotAccepted,
    /// A Gateway says that it has the change, but does not answer as the service does.
    RouteNotServing,
    /// The weights could not be written.
    RouteFailed,
    /// The cluster has no BackendTrafficPolicy, which fields of `spec.traffic` need.
    PolicyNotServed,
    /// A Gateway's controller does not accept the BackendTrafficPolicy.
    PolicyNotAccepted,
    /// The BackendTrafficPolicy could not be written.
    PolicyFailed,

    // Replicas that stand out from their peers.
    /// No replica stands out from its peers.
    NoOutliers,
    /// The question about outliers has no fresh answer: nobody is judged.
    OutliersUnknown,
    /// Fewer than three peers have a sample: nobody is judged.
    TooFewPeers,
    /// A replica stood out from its peers often enough and is out.
    OutlierEjected,
    /// A replica stands out from its peers, and is not ejected: as many are missing as may be.
    EjectionBudgetSpent,
    /// A replica that was out came back.
    OutlierReturned,
    /// A replica that was out was evicted, for another one in its place.
    OutlierReplaced,
    /// A replica that is out was not evicted: a PodDisruptionBudget does not allow it now.
    EvictionRefused,
    /// A replica that is out could not be evicted.
    EvictionFailed,

    // Failover.
    /// The service itself gets all requests.
    PrimaryServes,
    /// There are signs that the service itself fails.
    PrimaryFailing,
    /// It fails, and no standby would take its requests.
    NoStandbyReady,
    /// It fails by a KPI, and so many other services are being switched that the KPI is not believed yet.
    FleetLimit,
    /// Requests move to a standby.
    MovingToStandby,
    /// A standby gets all requests.
    StandbyServes,
    /// Requests come back to the service itself, step by step.
    MovingToPrimary,
    /// The service itself fails in part and keeps its requests: `maxSwitchesPerHour` is used up.
    SwitchLimit,
    /// Nothing is moved: what would have to be known for it is not.
    EvidenceUnknown,
    /// Nothing is moved: a person said so.
    FrozenByAnnotation,
    /// Requests go where a person said.
    MovedByAnnotation,
    /// A standby would take the requests now.
    StandbyReady,
    /// No standby would take all the requests now.
    StandbyNotReady,
}

impl ReasonCode {
    /// The name as it stands in status, events and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One step of a decision with the numbers that it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Which step.
    pub code: ReasonCode,
    /// The KPI or schedule entry that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Replicas before the step (for a KPI's proposal: the replicas wanted now).
    pub from: i32,
    /// Replicas after it.
    pub to: i32,
    /// The numbers, by name: `value`, `target`, `perReplica`, `windowSeconds`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// What the numbers can't say: the state of a sample, the error of a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Reason {
    /// A step without a name and numbers.
    #[must_use]
    pub fn new(code: ReasonCode, from: i32, to: i32) -> Self {
        Self { code, name: None, from, to, numbers: BTreeMap::new(), detail: None }
    }

    /// Says which KPI or schedule entry it is about.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds a number, rounded to six significant digits so that it reads well; what is not finite is left out.
    #[must_use]
    pub fn with(mut self, key: &str, value: f64) -> Self {
        if value.is_finite() {
            self.numbers.insert(key.to_owned(), significant(value));
        }
        self
    }

    /// Adds what the numbers can't say.
    #[must_use]
    pub fn detailed(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A number by its name.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        self.numbers.get(key).copied()
    }
}

fn significant(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
