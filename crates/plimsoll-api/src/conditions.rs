//! Conditions by KEP-1623 and kstatus: `lastTransitionTime` moves only when the status does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::{EnumIter, IntoStaticStr};

use super::ReasonCode;

/// The conditions of a ScalableService.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr)]
pub enum ConditionType {
    /// Plimsoll works for this service: the summary (kstatus).
    Ready,
    /// Replicas are on their way (kstatus).
    Reconciling,
    /// Nothing moves until somebody changes something (kstatus).
    Stalled,
    /// Every KPI has a fresh sample.
    MetricsAvailable,
    /// Plimsoll can and may write the target's scale.
    ScalingActive,
    /// A limit keeps the replicas from what the KPIs propose.
    ScalingLimited,
    /// Every load balancer runs what is wanted of it; only there with `spec.traffic`.
    TrafficSynced,
    /// No load balancer is near the most that it can take; only there with `spec.traffic`.
    TrafficHeadroom,
    /// No replica stands out from its peers; only there with `spec.recovery`.
    ReplicasHealthy,
    /// A standby would take all requests now; only there with `spec.failover`.
    FailoverReady,
    /// The service itself gets all requests, and nobody has to move them; only there with `spec.failover`.
    PrimaryActive,
    /// No zone is lost with all of its replicas; only there where the replicas' zones are known.
    ZonesServing,
}

/// What is to be said of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which condition.
    pub type_: ConditionType,
    /// True, False, or unknown.
    pub status: Option<bool>,
    /// Why.
    pub reason: ReasonCode,
    /// In a sentence.
    pub message: String,
}

impl Verdict {
    /// A verdict that is known.
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

/// The conditions to write: those of `verdicts`, with the transition times of `old` where the status stands.
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
