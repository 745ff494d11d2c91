//! Step 1 of a turn (client): the validated spec, the target, and whether another scaler controls it.

use kube::ResourceExt as _;

use super::{
    conflict,
    context::Context,
    index::{Owner, Scaler, Target, Workload},
    key::ServiceKey,
    outcome::Outcome,
    target::parse_selector,
};
use plimsoll_api::{ConditionCode, ReasonCode, ScalableService, Validated};

/// The target with its rules.
pub struct Subject {
    /// The rules.
    pub spec: Validated,
    /// The workload to scale.
    pub target: Target,
}

/// Why the target is not scaled, and what is known of it.
pub struct Refused {
    /// The reason.
    pub reason: ReasonCode,
    /// The reason as a sentence.
    pub message: String,
    /// The target, as far as it is known.
    pub subject: Option<Subject>,
}

/// The subject of a turn.
///
/// # Errors
/// The spec is invalid, the target is missing or can't be scaled, or another scaler controls it.
pub async fn dereference(
    service: &ScalableService,
    key: &ServiceKey,
    context: &Context,
) -> Result<Subject, Refused> {
    let spec = Validated::of(service).map_err(|invalid| Refused {
        reason: ConditionCode::InvalidSpec.into(),
        message: invalid.to_string(),
        subject: None,
    })?;
    let target = match context.targets.find(&key.namespace, &service.spec.scale_target_ref).await {
        Ok(target) => target,
        Err(error) => {
            let (reason, message) = (error.reason(), error.to_string());
            // A missing target has its remaining pods as replicas; nothing is known of one that can't be read.
            let gone = (reason == ConditionCode::TargetNotFound.into()).then(|| missing(service));
            return Err(Refused { reason, message, subject: gone.map(|target| Subject { spec, target }) });
        }
    };
    match kept_by(service, key, context) {
        Some(message) => Err(Refused {
            reason: ConditionCode::ScalerConflict.into(),
            message,
            subject: Some(Subject { spec, target }),
        }),
        None => Ok(Subject { spec, target }),
    }
}

/// Whether the watches differ from the last evaluation: the target or another scaler was created or deleted.
#[must_use]
pub fn is_another(
    service: &ScalableService,
    key: &ServiceKey,
    last: Option<&Outcome>,
    context: &Context,
) -> bool {
    let missing = || context.targets.is_missing(&key.namespace, &service.spec.scale_target_ref);
    match last {
        None => false,
        Some(Outcome::Done(_)) => missing() || kept_by(service, key, context).is_some(),
        Some(Outcome::Refused(refusal)) => match refusal.reason {
            ReasonCode::Condition(ConditionCode::TargetNotFound) => {
                !missing() && context.targets.knows(&service.spec.scale_target_ref)
            }
            ReasonCode::Condition(ConditionCode::ScalerConflict) => {
                missing() || kept_by(service, key, context).as_ref() != Some(&refusal.message)
            }
            _ => false,
        },
    }
}

/// The sentence about the scaler that controls the target instead, if there is one.
fn kept_by(service: &ScalableService, key: &ServiceKey, context: &Context) -> Option<String> {
    let workload = Workload::target(&key.namespace, &service.spec.scale_target_ref);
    let created = service.creation_timestamp().map_or(0, |time| time.0.as_second());
    let me = Scaler { kind: "ScalableService", name: key.name.clone(), created, workload };
    conflict::keeper(&me, &context.scalers_of(&me.workload)).map(conflict::message)
}

/// A placeholder for a missing target with the expected replicas and the selector of the status: pods may outlive it.
fn missing(service: &ScalableService) -> Target {
    let status = service.status.as_ref();
    let replicas = status
        .and_then(|status| status.failover.as_ref())
        .map_or(0, |last_written| last_written.expected_replicas);
    let selector = status.and_then(|status| parse_selector(status.selector.as_deref()?));
    let owner = Owner::Any;
    let (uid, version, revision, priority_class) = (None, None, None, None);
    Target { uid, version, replicas, ready: 0, selector, owner, revision, priority_class }
}
