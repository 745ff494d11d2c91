//! The steps of a decision on replicas: the proposals of the KPIs, the limits of the largest one, and the result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use super::record::{One, beyond, flag};

/// A step of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionStep {
    /// The kind of the step, with its numbers.
    pub reason: DecisionReason,
    /// Replicas before the step (for a KPI's proposal: the current number).
    pub from: i32,
    /// Replicas after the step.
    pub to: i32,
}

/// The kind of a step of a decision. Times are in seconds.
///
/// The serde format is flat and only for [`StepRecord`](super::StepRecord): `name` and `detail` are text, all other fields are
/// numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, EnumDiscriminants)]
#[serde(tag = "code", rename_all_fields = "camelCase")]
#[strum_discriminants(
    name(DecisionCode),
    doc = "The name of a [`DecisionReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, Serialize, Deserialize, JsonSchema)
)]
pub enum DecisionReason {
    // Proposals of the KPIs.
    /// A Load KPI proposes total / perReplica.
    LoadProposal {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The total.
        value: f64,
        /// The capacity of one replica.
        per_replica: f64,
        /// The estimated total including missing scrape targets; only if some are missing and the measured value alone would
        /// scale down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<f64>,
    },
    /// The newest scrape is far above the window's average, and is used instead of it.
    BurstProposal {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The newest scrape.
        value: f64,
        /// The window's average.
        average: f64,
        /// The capacity of one replica.
        per_replica: f64,
    },
    /// A Utilization KPI proposes replicas by the formula of autoscaling/v2.
    UtilizationProposal {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// The pods' average.
        value: f64,
        /// The target of the average.
        target: f64,
        /// The pods behind the average.
        #[serde(flatten)]
        pods: Measured,
    },
    /// A KPI is so close to its target that it proposes no change.
    WithinTolerance {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// For a Load, the estimated total including missing scrape targets; only if some are missing and the measured value
        /// alone would scale down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<f64>,
        /// The target; for a Load, the capacity of the replicas.
        #[serde(default = "beyond")]
        target: f64,
        /// The tolerance on the side of the value, as a ratio of the target.
        tolerance: f64,
        /// The lowest value within the tolerances.
        #[serde(default = "beyond")]
        least: f64,
        /// The highest value within the tolerances.
        #[serde(default = "beyond")]
        most: f64,
        /// For a Load, the capacity of one replica.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_replica: Option<f64>,
        /// For a Utilization, the pods behind the average.
        #[serde(flatten)]
        pods: Option<Measured>,
    },
    /// An Objective is violated, and more replicas are tried.
    ObjectiveBreached {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// Its limit.
        at_most: f64,
        /// Number of raises for it, including this one.
        attempt: u32,
    },
    /// An Objective is violated; the replicas added for it are still starting or taking effect.
    ObjectiveSettling {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
        /// Its value.
        value: f64,
        /// Its limit.
        at_most: f64,
        /// Remaining time for these replicas to take effect.
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
    /// More replicas did not help an Objective: no further raise for it.
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
        /// The state of the sample, and its cause.
        #[serde(rename = "detail")]
        why: String,
    },
    /// No replica is ready, so there is no average.
    NoReadyReplicas {
        /// The KPI.
        #[serde(rename = "name")]
        kpi: String,
    },
    /// Requests wait at the load balancer because no replica is ready.
    RequestsHeld {
        /// Number of waiting requests.
        held: i32,
    },
    /// All replicas of a zone are lost: the others are scaled up for its share.
    ZoneLost {
        /// The zones, separated by commas.
        #[serde(rename = "name")]
        zones: String,
        /// Replicas that are lost with the zones.
        lost: i32,
        /// Replicas in other zones.
        left: i32,
    },

    // Limits of the largest proposal, in order.
    /// A schedule entry raises the minimum.
    ScheduleFloor {
        /// Name of the schedule entry.
        #[serde(rename = "name")]
        entry: String,
        /// Its minimum.
        min_replicas: i32,
    },
    /// No scale-down: a KPI that would vote for it has no fresh sample.
    HeldWithoutEvidence {
        /// The KPIs, and the states of their samples.
        #[serde(rename = "detail")]
        why: String,
    },
    /// No scale-down: this is the first turn after a start or a change of leader.
    HeldOnFirstLook {
        /// Maximum time until the next turn.
        seconds_left: f64,
    },
    /// No scale-down while a burst lasts.
    HeldForBurst {
        /// Remaining time of the hold.
        seconds_left: f64,
    },
    /// The lowest proposal within the scale-up window applies.
    ScaleUpStabilized {
        /// `scaleUp.stabilizationWindowSeconds`.
        window_seconds: f64,
        /// The proposal that applies.
        limit: i32,
        /// Time until it leaves the window.
        seconds_left: f64,
    },
    /// The highest proposal within the scale-down window applies.
    ScaleDownStabilized {
        /// `scaleDown.stabilizationWindowSeconds`, or the range of the query if that is longer.
        window_seconds: f64,
        /// The proposal that applies.
        limit: i32,
        /// Time until it leaves the window.
        seconds_left: f64,
        /// The range of the query, if it is the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range_seconds: Option<f64>,
    },
    /// A scale-up policy limits the change.
    ScaleUpRateLimited(RateLimit),
    /// A scale-down policy limits the change.
    ScaleDownRateLimited(RateLimit),
    /// Raised because this service is the standby of other services.
    StandbyFloor {
        /// Replicas for the requests of other services.
        asked: i32,
    },
    /// Raised for requests that return from a standby.
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
    /// Replicas finish their requests before they are removed.
    Draining {
        /// Number of draining replicas.
        draining: i32,
        /// Number of those that have finished.
        drained: i32,
        /// `drain.timeout`.
        timeout_seconds: f64,
        /// Remaining time.
        seconds_left: f64,
    },
    /// Replicas were removed with requests left: `drain.timeout` was over.
    DrainTimedOut {
        /// Number of removed replicas.
        draining: i32,
        /// `drain.timeout`.
        timeout_seconds: f64,
    },

    // Results.
    /// The replicas stay.
    Steady,
    /// Replicas were raised.
    ScaledUp,
    /// Replicas were lowered.
    ScaledDown,
    /// Mode Observe: the decision is reported, and nothing is written.
    Observing,
    /// Mode Paused: the replicas stay as they are.
    Paused,
    /// The scale could not be read or written.
    ScaleFailed {
        /// The error.
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

/// Limit of a rate policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Number of replicas that it allows.
    pub limit: i32,
    /// The rule that sets the limit.
    #[serde(flatten)]
    pub by: RateRule,
}

/// The rule that limits the rate of a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RateRule {
    /// A policy of `behavior`.
    Policy(RatePolicy),
    /// `selectPolicy` is Disabled.
    Disabled {
        /// Serialized as 1.
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
    /// The name of the reason.
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
