//! Step 1 of a turn (client): the spec, the target, and whether it is ours to scale.

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

/// What is to be scaled, by which rules.
pub struct Subject {
    /// The rules.
    pub spec: Validated,
    /// What is to be scaled.
    pub target: Target,
}

/// Why it is not to be scaled, and what is known of it all the same.
pub struct Refused {
    /// Why.
    pub reason: ReasonCode,
    /// In a sentence.
    pub message: String,
    /// What it would be; `None` where nothing is known of it.
    pub subject: Option<Subject>,
}

/// The subject of a turn.
///
/// # Errors
/// It is not to be scaled by us.
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
            // What is not there is as many replicas as its pods that are left; of what can't be read nothing is known.
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

/// Whether the watches show something else than the last look found: the target has appeared or has gone, or another scaler
/// has.
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

/// Who scales the target instead, in a sentence.
fn kept_by(service: &ScalableService, key: &ServiceKey, context: &Context) -> Option<String> {
    let workload = Workload::target(&key.namespace, &service.spec.scale_target_ref);
    let created = service.creation_timestamp().map_or(0, |time| time.0.as_second());
    let me = Scaler { kind: "ScalableService", name: key.name.clone(), created, workload };
    conflict::keeper(&me, &context.scalers_of(&me.workload)).map(conflict::message)
}

/// A target that is not there, of which so many replicas were expected: pods may outlive it.
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
