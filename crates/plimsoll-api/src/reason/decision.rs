//! The steps of a decision on replicas: what the KPIs propose, what limits the largest proposal, and how it ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use super::record::{One, beyond, flag};

/// A step of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionStep {
    /// What the step is, with its numbers.
    pub reason: DecisionReason,
    /// Replicas before the step (for a KPI's proposal: the replicas wanted now).
    pub from: i32,
    /// Replicas after it.
    pub to: i32,
}

/// What a step of a decision is. Times are in seconds.
///
/// Its serde form is flat and only for [`StepRecord`](super::StepRecord), which sorts the fields: `name` and `detail` are
/// text, all others are numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, EnumDiscriminants)]
#[serde(tag = "code", rename_all_fields = "camelCase")]
#[strum_discriminants(
    name(DecisionCode),
    doc = "The name of a [`DecisionReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, Serialize, Deserialize, JsonSchema)
)]
pub enum DecisionReason {
    // What the KPIs propose.
    /// A Load KPI proposes total / perReplica.
    LoadProposal {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The total.
        value: f64,
        /// What one replica carries.
        per_replica: f64,
        /// The total with the scrape targets that are missing, where some are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<f64>,
    },
    /// The newest scrape is far above the window's average and is used instead.
    BurstProposal {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The newest scrape.
        value: f64,
        /// The window's average.
        average: f64,
        /// What one replica carries.
        per_replica: f64,
    },
    /// A Utilization KPI proposes by autoscaling/v2's arithmetic.
    UtilizationProposal {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The pods' average.
        value: f64,
        /// The average to have.
        target: f64,
        /// Which pods these are.
        #[serde(flatten)]
        pods: Measured,
    },
    /// A KPI is so close to its target that it proposes what there is.
    WithinTolerance {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// A Load's total with the scrape targets that are missing, where some are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<f64>,
        /// The value to have: a Load's is what the replicas carry.
        #[serde(default = "beyond")]
        target: f64,
        /// The tolerance on the side of the value, as a share of the target.
        tolerance: f64,
        /// The least value within the tolerances.
        #[serde(default = "beyond")]
        least: f64,
        /// The greatest value within the tolerances.
        #[serde(default = "beyond")]
        most: f64,
        /// What one replica carries; of a Load.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_replica: Option<f64>,
        /// The pods behind a Utilization.
        #[serde(flatten)]
        pods: Option<Measured>,
    },
    /// An Objective is broken and more replicas are tried.
    ObjectiveBreached {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// Its limit.
        at_most: f64,
        /// Raises for it so far, this one included.
        attempt: u32,
    },
    /// An Objective is broken; the replicas added for it are still starting or settling.
    ObjectiveSettling {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// Its limit.
        at_most: f64,
        /// Time that is left to these replicas.
        seconds_left: f64,
    },
    /// An Objective is near its limit: no scale-down.
    ObjectiveNear {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// Its limit.
        at_most: f64,
    },
    /// More replicas did not bring an Objective back: no further raise for it.
    ScalingIneffective {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// Its limit.
        at_most: f64,
        /// Its value before the last raise.
        before: f64,
        /// Replicas before the first raise.
        raised_from: i32,
        /// Replicas after the last raise.
        raised_to: i32,
    },
    /// A KPI has no fresh sample and proposes nothing.
    KpiNotFresh {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The state of the sample, and why.
        #[serde(rename = "detail")]
        why: String,
    },
    /// A replica average says nothing while no replica is ready.
    NoReadyReplicas {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
    },
    /// Requests wait at the load balancer and no replica is there to serve them.
    RequestsHeld {
        /// Requests that wait.
        held: i32,
    },
    /// All replicas of a zone are lost: the others are raised for its share.
    ZoneLost {
        /// The zones, separated by commas.
        #[serde(rename = "name")]
        zones: String,
        /// Replicas that are lost with them.
        lost: i32,
        /// Replicas in other zones.
        left: i32,
    },

    // What happens to the largest proposal, in order.
    /// A schedule lifts the floor.
    ScheduleFloor {
        /// The entry of the schedule.
        #[serde(rename = "name")]
        entry: String,
        /// Its floor.
        min_replicas: i32,
    },
    /// No scale-down: a KPI that would vote for it has no fresh sample.
    HeldWithoutEvidence {
        /// Which KPIs, and the states of their samples.
        #[serde(rename = "detail")]
        why: String,
    },
    /// No scale-down: this is the first look after a start or a change of leader.
    HeldOnFirstLook {
        /// Time until the next look.
        seconds_left: f64,
    },
    /// No scale-down while a burst lasts.
    HeldForBurst {
        /// Time until it is over.
        seconds_left: f64,
    },
    /// The lowest proposal of the scale-up window holds.
    ScaleUpStabilized {
        /// `scaleUp.stabilizationWindowSeconds`.
        window_seconds: f64,
        /// The proposal that holds.
        limit: i32,
        /// Time until it leaves the window.
        seconds_left: f64,
    },
    /// The highest proposal of the scale-down window holds.
    ScaleDownStabilized {
        /// `scaleDown.stabilizationWindowSeconds`, or the range of the query where that is longer.
        window_seconds: f64,
        /// The proposal that holds.
        limit: i32,
        /// Time until it leaves the window.
        seconds_left: f64,
        /// The range of the query, where it is the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range_seconds: Option<f64>,
    },
    /// A scale-up policy limits the change.
    ScaleUpRateLimited(RateLimit),
    /// A scale-down policy limits the change.
    ScaleDownRateLimited(RateLimit),
    /// Raised for the requests of another service, whose standby this one is.
    StandbyFloor {
        /// Replicas that they ask for.
        asked: i32,
    },
    /// Raised for requests that come back from a standby.
    ReturnFloor,
    /// Raised to minReplicas.
    MinReplicas {
        /// `minReplicas`.
        min_replicas: i32,
    },
    /// Lowered to maxReplicas.
    MaxReplicas {
        /// `maxReplicas`.
        max_replicas: i32,
    },
    /// Replicas that are to go finish their requests first.
    Draining {
        /// Replicas that are to go.
        draining: i32,
        /// How many of them have finished.
        drained: i32,
        /// `drain.timeout`.
        timeout_seconds: f64,
        /// What is left of it.
        seconds_left: f64,
    },
    /// Replicas went although requests were left: `drain.timeout` was over.
    DrainTimedOut {
        /// Replicas that went.
        draining: i32,
        /// `drain.timeout`.
        timeout_seconds: f64,
    },

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
    /// The scale could not be read or written.
    ScaleFailed {
        /// Why not.
        #[serde(rename = "detail")]
        why: String,
    },
}

/// The pods behind an average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Ready pods with a sample.
    pub ready: f64,
    /// Ready pods without one.
    pub missing: f64,
    /// Pods that are not ready.
    pub unready: f64,
}

/// How far a rate policy lets the replicas go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Replicas that it allows.
    pub limit: i32,
    /// What allows no more.
    #[serde(flatten)]
    pub by: RateRule,
}

/// What limits the rate of a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RateRule {
    /// A policy of `behavior`.
    Policy(RatePolicy),
    /// `selectPolicy` is Disabled.
    Disabled {
        /// Written as 1.
        disabled: One,
    },
}

/// A policy of `behavior`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RatePolicy {
    /// Its value.
    pub policy_value: i32,
    /// Its period.
    pub period_seconds: i32,
    /// Whether the value is a percentage of the replicas.
    #[serde(default, with = "flag")]
    pub percent: bool,
}

impl DecisionReason {
    /// Its name.
    #[must_use]
    pub fn code(&self) -> DecisionCode {
        self.into()
    }

    /// The step from `from` to `to` replicas.
    #[must_use]
    pub fn step(self, from: i32, to: i32) -> DecisionStep {
        DecisionStep { reason: self, from, to }
    }
}

impl DecisionStep {
    /// The name of its reason.
    #[must_use]
    pub fn code(&self) -> DecisionCode {
        self.reason.code()
    }
}
