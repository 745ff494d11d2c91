//! Conditions as in KEP-1623 and kstatus: `lastTransitionTime` changes only with the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::{EnumIter, IntoStaticStr};

use super::ReasonCode;

/// The conditions of a ScalableService.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr)]
pub enum ConditionType {
    /// Plimsoll manages this service: the summary (kstatus).
    Ready,
    /// Replicas are being started or removed (kstatus).
    Reconciling,
    /// No progress without a change by a user (kstatus).
    Stalled,
    /// Every KPI has a fresh sample.
    MetricsAvailable,
    /// Plimsoll can and may write the target's scale.
    ScalingActive,
    /// A limit prevents the replicas that the KPIs propose.
    ScalingLimited,
    /// Every balancer runs its wanted configuration; only with `spec.traffic`.
    TrafficSynced,
    /// No balancer is near its capacity; only with `spec.traffic`.
    TrafficHeadroom,
    /// No replica is an outlier; only with `spec.recovery`.
    ReplicasHealthy,
    /// A standby could take all requests now; only with `spec.failover`.
    FailoverReady,
    /// The service itself gets all requests, and they need not be moved; only with `spec.failover`.
    PrimaryActive,
    /// No zone is lost with all of its replicas; only if the zones of the replicas are known.
    ZonesServing,
}

/// The wanted value of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The type of the condition.
    pub type_: ConditionType,
    /// `None` for Unknown.
    pub status: Option<bool>,
    /// The reason.
    pub reason: ReasonCode,
    /// The message, one sentence.
    pub message: String,
}

impl Verdict {
    /// A verdict with a known status.
    #[must_use]
    pub fn new(
        type_: ConditionType,
        status: bool,
        reason: impl Into<ReasonCode>,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status: Some(status), reason: reason.into(), message: message.into() }
    }

    /// The value of `status` in a `metav1.Condition`.
    #[must_use]
    pub fn status_text(&self) -> &'static str {
        match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// The conditions to write: those of `verdicts`, with the transition times of `old` where the status is unchanged.
#[must_use]
pub fn merge_conditions(
    old: &[Condition],
    verdicts: &[Verdict],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    verdicts
        .iter()
        .map(|verdict| {
            let type_: &'static str = verdict.type_.into();
            let status = verdict.status_text();
            let since = old
                .iter()
                .find(|c| c.type_ == type_ && c.status == status)
                .map(|c| c.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.name().to_owned(),
                message: verdict.message.clone(),
                observed_generation: generation,
                last_transition_time: since.unwrap_or_else(|| now.clone()),
            }
        })
        .collect()
}
