//! The BackendTrafficPolicy of the rule: written if fields of the spec need it, in sync once its Gateways accept it, deleted
//! when no field needs it any more.
//!
//! It is polled instead of watched: most clusters do not serve the kind, and an apply without changes is cheap for the API
//! server.

use std::time::Duration;

use kube::{Resource as _, api::DynamicObject};
use serde_json::Value;
use tokio::time::Instant;

use super::turn::{AFTER_FAILURE, ConditionUpdate, Turn};
use crate::{
    actuate::{self, FoundPolicy, Note, WRITE_TIMEOUT},
    balancer::gateway::{Acceptance, policy, policy_accepted, policy_fields},
    controller::context::Context,
    lease::{Permit, WriteError},
};
use plimsoll_api::{ConditionCode, Mode, ScalableService};

/// Polling interval while its Gateways have not accepted it yet.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to use that interval after a change; later, there may be no controller that accepts it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Polling interval otherwise.
const LATER: Duration = Duration::from_secs(15);

/// The known state of the policy of a service.
#[derive(Debug, Default)]
pub(super) struct KnownPolicy {
    /// The wanted `spec` at the last poll (`None`: no policy), and since when.
    wanted: Option<(Option<Value>, Instant)>,
    /// The result of the last poll.
    found: Option<ConditionUpdate>,
    /// Time of the next poll; `None` once none is needed.
    next: Option<Instant>,
}

impl KnownPolicy {
    /// Whether this process has polled the policy.
    pub(super) fn was_looked_for(&self) -> bool {
        self.wanted.is_some()
    }
}

/// Deletes the policy of a service that steers no rule any more. Returns the time until the next attempt, if one is needed.
pub(super) async fn leave(
    service: &ScalableService,
    known: &mut KnownPolicy,
    context: &Context,
) -> Option<Duration> {
    known.wanted.as_ref()?;
    let again = delete(service, context, &context.shared.leader.permit(WRITE_TIMEOUT)).await;
    if again.is_none() {
        *known = KnownPolicy::default();
    }
    again
}

/// Deletes the policy of a service, if it owns one. Returns the time until the next attempt, if one is needed.
async fn delete(service: &ScalableService, context: &Context, permit: &Permit) -> Option<Duration> {
    let client = &context.shared.client;
    let deleted = match permit.read(actuate::find_policy(client, service)).await {
        Ok(FoundPolicy::Own(_)) if service.spec.mode != Mode::Auto => return Some(LATER),
        Ok(FoundPolicy::Own(left)) => actuate::delete_policy(client, service, &left, permit).await,
        Ok(FoundPolicy::None | FoundPolicy::Foreign) => Ok(()),
        // Without the permission to read policies, this operator has not written one.
        Err(error) if error.code() == Some(403) => return None,
        Err(error) => Err(error),
    };
    match deleted {
        Ok(()) => None,
        Err(WriteError::NotLeading) => Some(LATER),
        Err(_) => Some(AFTER_FAILURE),
    }
}

impl Turn<'_> {
    /// The condition of the policy, `None` if there should be none; and the time until the next turn. Only the service that
    /// steers the rule (`keeps`) may have a policy.
    pub(super) async fn policy(
        &self,
        keeps: bool,
        known: &mut KnownPolicy,
    ) -> (Option<ConditionUpdate>, Option<Duration>) {
        let traffic = self.service.spec.traffic.as_ref().filter(|_| keeps);
        let wanted = traffic.and_then(|traffic| policy(traffic, self.rule));
        let now = Instant::now();
        let since = known.wanted.take().filter(|(before, _)| *before == wanted).map(|(_, since)| since);
        if since.is_none() || known.next.is_some_and(|next| next <= now) {
            let pause = self.look_at_policy(wanted.as_ref(), &mut known.found).await;
            let soon = since.is_none_or(|since| since.elapsed() < PATIENCE);
            known.next = pause.map(|pause| Instant::now() + if soon { pause } else { pause.max(LATER) });
        }
        known.wanted = Some((wanted, since.unwrap_or(now)));
        let again = known.next.map(|next| next.saturating_duration_since(Instant::now()));
        (known.found.clone(), again)
    }

    /// Reconciles the policy. Returns the time until the next poll.
    async fn look_at_policy(
        &self,
        wanted: Option<&Value>,
        verdict: &mut Option<ConditionUpdate>,
    ) -> Option<Duration> {
        let permit = self.context.shared.leader.permit(WRITE_TIMEOUT);
        let Some(spec) = wanted else {
            *verdict = None;
            return delete(self.service, self.context, &permit).await;
        };
        let found = match permit.read(actuate::find_policy(&self.context.shared.client, self.service)).await {
            Ok(found) => found,
            // Not a failure of the policy: another instance reconciles it.
            Err(WriteError::NotLeading) => return Some(LATER),
            Err(error) => {
                *verdict = Some(self.failed(&error.message()));
                return Some(AFTER_FAILURE);
            }
        };
        let (found, pause) = match found {
            FoundPolicy::Foreign => {
                let sentence = format!(
                    "BackendTrafficPolicy {} already exists and does not belong to this ScalableService; \
                     rename one of them",
                    self.key.name
                );
                ((Some(false), ConditionCode::PolicyFailed.into(), sentence), LATER)
            }
            FoundPolicy::None => self.written(spec, None, &permit).await,
            FoundPolicy::Own(there) => self.written(spec, Some(&there), &permit).await,
        };
        *verdict = Some(found);
        Some(pause)
    }

    /// Writes the policy, if it may be written; `before` is the existing one.
    async fn written(
        &self,
        spec: &Value,
        before: Option<&DynamicObject>,
        permit: &Permit,
    ) -> (ConditionUpdate, Duration) {
        if self.service.spec.mode != Mode::Auto {
            return self.unwritten(before);
        }
        let shared = &self.context.shared;
        match actuate::apply_policy(&shared.client, self.service, spec, permit).await {
            Ok(policy) => {
                if policy.metadata.generation != before.and_then(|before| before.metadata.generation) {
                    let message = format!("{} was written", self.named());
                    let note = Note { warning: false, reason: ConditionCode::RouteChanged.into(), message };
                    shared.events.push(note, self.service.object_ref(&()));
                }
                self.believed(&policy)
            }
            Err(WriteError::NotLeading) => self.unwritten(before),
            // Only the kind can be missing: an apply creates the object.
            Err(error) if error.code() == Some(404) => {
                let sentence = format!(
                    "this cluster does not serve BackendTrafficPolicy of gateway.envoyproxy.io/v1alpha1, which {} of \
                     spec.traffic needs with provider Gateway",
                    self.fields()
                );
                ((Some(false), ConditionCode::PolicyNotServed.into(), sentence), LATER)
            }
            Err(error) => (self.failed(&error.message()), AFTER_FAILURE),
        }
    }

    /// The condition of a policy that is not written in this turn; `there` is the existing one.
    fn unwritten(&self, there: Option<&DynamicObject>) -> (ConditionUpdate, Duration) {
        let Some(there) = there else {
            let sentence = format!("{} is not written yet", self.named());
            return ((None, ConditionCode::RouteProgressing.into(), sentence), LATER);
        };
        self.believed(there)
    }

    fn believed(&self, policy: &DynamicObject) -> (ConditionUpdate, Duration) {
        match policy_accepted(policy) {
            Acceptance::Yes => (
                (Some(true), ConditionCode::RouteInSync.into(), format!("{} is accepted", self.named())),
                LATER,
            ),
            Acceptance::Waiting(sentence) => {
                ((None, ConditionCode::RouteProgressing.into(), sentence), AGAIN)
            }
            Acceptance::No(sentence) => {
                ((Some(false), ConditionCode::PolicyNotAccepted.into(), sentence), AGAIN)
            }
        }
    }

    fn failed(&self, error: &str) -> ConditionUpdate {
        let sentence = format!("{} can't be read or written: {error}", self.named());
        (Some(false), ConditionCode::PolicyFailed.into(), sentence)
    }

    fn named(&self) -> String {
        format!("BackendTrafficPolicy {} ({})", self.key.name, self.fields())
    }

    fn fields(&self) -> String {
        self.service.spec.traffic.as_ref().map(policy_fields).unwrap_or_default().join(", ")
    }
}
