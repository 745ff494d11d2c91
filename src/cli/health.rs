//! How a service is, in one mark: what a person looks at first.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::style::Paint;
use plimsoll_api::{ConditionType, DecisionCode as D, Mode, ReasonCode, RecoveryCode, ScalableService};

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Good,
    /// It works, and somebody should know something.
    Warn,
    /// It does not work.
    Bad,
    /// Plimsoll does not act on it, because somebody said so.
    Held,
}

impl Health {
    /// Its mark, one column wide.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Good => "✔",
            Self::Warn => "⚠",
            Self::Bad => "✖",
            Self::Held => "⏸",
        }
    }

    /// Its colour.
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
    let wrong = service
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| judged(condition).is_some_and(|health| health != Health::Good));
    let health = match (ready.status.as_str(), service.spec.mode) {
        ("False", _) => Health::Bad,
        (_, Mode::Observe | Mode::Paused) => Health::Held,
        ("True", Mode::Auto) if !wrong => Health::Good,
        _ => Health::Warn,
    };
    (health, ready.reason.clone())
}

/// Whether a condition is as it should be; `None` for one that is only news (Reconciling) or not known here.
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
    // A window, a rate or a floor at work is what the user asked for; a ceiling or a lack of evidence is not.
    let code = ReasonCode::named(&condition.reason);
    let asked_for = match code {
        Some(ReasonCode::Decision(D::MaxReplicas | D::HeldWithoutEvidence | D::ScalingIneffective))
        | None => false,
        Some(ReasonCode::Decision(D::Observing | D::Paused)) => {
            condition.status == "Unknown" || is(ConditionType::ScalingActive)
        }
        // A quiet or small service has no peers to compare by.
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
