//! The health of a service as a single mark.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::style::Paint;
use plimsoll_api::{ConditionType, DecisionCode as D, Mode, ReasonCode, RecoveryCode, ScalableService};

/// The health of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Healthy.
    Good,
    /// Working, with something to note.
    Warn,
    /// Not working.
    Bad,
    /// Not acted on, because spec.mode is Observe or Paused.
    Held,
}

impl Health {
    /// The mark, one column wide.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Good => "✔",
            Self::Warn => "⚠",
            Self::Bad => "✖",
            Self::Held => "⏸",
        }
    }

    /// The colour.
    pub fn paint(self) -> Paint {
        match self {
            Self::Good => Paint::Good,
            Self::Warn => Paint::Warn,
            Self::Bad => Paint::Bad,
            Self::Held => Paint::Quiet,
        }
    }
}

/// The condition of a type, if the status has it.
pub fn condition(service: &ScalableService, type_: ConditionType) -> Option<&Condition> {
    let name: &'static str = type_.into();
    service.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == name)
}

/// The health of a service and the reason of its condition Ready.
pub fn health(service: &ScalableService) -> (Health, String) {
    let Some(ready) = condition(service, ConditionType::Ready) else {
        return (Health::Warn, "no status yet".to_owned());
    };
    let to_note = service
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| judged(condition).is_some_and(|health| health != Health::Good));
    let health = match (ready.status.as_str(), service.spec.mode) {
        ("False", _) => Health::Bad,
        (_, Mode::Observe | Mode::Paused) => Health::Held,
        ("True", Mode::Auto) if !to_note => Health::Good,
        _ => Health::Warn,
    };
    (health, ready.reason.clone())
}

/// The health of a condition; `None` if the condition is only informational (Reconciling) or unknown to this version.
pub fn judged(condition: &Condition) -> Option<Health> {
    let is = |type_: ConditionType| <&'static str>::from(type_) == condition.type_;
    let good = if is(ConditionType::Stalled) || is(ConditionType::ScalingLimited) {
        "False"
    } else if [
        ConditionType::Ready,
        ConditionType::MetricsAvailable,
        ConditionType::ScalingActive,
        ConditionType::TrafficSynced,
        ConditionType::TrafficHeadroom,
        ConditionType::ReplicasHealthy,
        ConditionType::ZonesServing,
        ConditionType::FailoverReady,
        ConditionType::PrimaryActive,
    ]
    .into_iter()
    .any(is)
    {
        "True"
    } else {
        return None;
    };
    // A limit by a window, a rate or a floor is as configured; one by a ceiling or by missing evidence needs attention.
    let code = ReasonCode::named(&condition.reason);
    let asked_for = match code {
        Some(ReasonCode::Decision(D::MaxReplicas | D::HeldWithoutEvidence | D::ScalingIneffective))
        | None => false,
        Some(ReasonCode::Decision(D::Observing | D::Paused)) => {
            condition.status == "Unknown" || is(ConditionType::ScalingActive)
        }
        // A quiet or small service has too few peers for a comparison.
        Some(ReasonCode::Recovery(RecoveryCode::TooFewPeers)) => true,
        Some(_) => is(ConditionType::ScalingLimited) && condition.status != "Unknown",
    };
    if asked_for {
        return Some(Health::Good);
    }
    let severe = is(ConditionType::Ready) || is(ConditionType::Stalled);
    Some(match condition.status.as_str() {
        status if status == good => Health::Good,
        "Unknown" => Health::Warn,
        _ if severe => Health::Bad,
        _ => Health::Warn,
    })
}
