//! Steers a rule of a user's HTTPRoute for failover: sets its weights, checks its status, and probes its Gateways.
//!
//! This runs in every turn, also without an evaluation. Slow work (requests through the Gateway) runs in the background and
//! triggers a turn when it is done.

mod direct;
mod given;
mod policy;
mod proof;
mod restore;
mod turn;

use std::time::Duration;

use kube::{Client, Resource as _};
use serde_json::Value;
use tokio::time::Instant;

use futures::future::{BoxFuture, FutureExt as _};

use super::{
    capability::{Capability, Effect, Phase, SharedFacts, View},
    core::Core,
    index::{Served, read},
    key::ServiceKey,
};
use crate::{
    actuate::{self, Note, WRITE_TIMEOUT},
    balancer::gateway::{Plan, Route, plan},
    lease::{Permit, WriteError},
};
use given::{Given, UNDONE_WITHIN};
use plimsoll_api::{ConditionCode, ConditionType, DecisionCode, Mode, ReasonCode, Verdict};
use policy::KnownPolicy;
use proof::Proof;
use turn::{AFTER_FAILURE, AGAIN, ConditionUpdate, Turn};

/// Pause before weights are planned again after a write conflict on the route.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);

/// The known state of the rule that a service steers.
#[derive(Debug, Default)]
struct KnownRoute {
    /// The condition `TrafficSynced`.
    verdict: Option<ConditionUpdate>,
    /// The route after the last write, until the watch shows it.
    written: Option<Route>,
    /// Probes of the Gateways.
    proof: Proof,
    /// No write before this moment.
    not_before: Option<Instant>,
    /// The last weights set by this process.
    given: Given,
    /// The BackendTrafficPolicy of the rule.
    policy: KnownPolicy,
}

/// What a turn does about the weights of the rule. It is planned once per turn, so that the decision on the finalizer and the
/// write are based on the same state.
#[derive(Debug)]
enum Step {
    /// Nothing; with the condition, and the time until the next turn.
    Wait(ConditionUpdate, Option<Duration>),
    /// The weights are as wanted: check whether they are in force.
    Believe(Route),
    /// Change weights; `what` describes the change.
    Write { route: Route, patch: Vec<Value>, what: String },
}

/// Steers the rule of an HTTPRoute.
#[derive(Debug, Default)]
pub struct Steering {
    known: KnownRoute,
    /// The step of this turn.
    step: Option<Step>,
    /// Time until the next turn, if no watch will trigger it.
    again: Option<Duration>,
}

impl Capability for Steering {
    fn facts(&self, view: &View<'_>, facts: &mut SharedFacts) {
        if view.service.spec.steered().is_none() {
            return;
        }
        facts.settled = matches!(self.known.verdict, Some((Some(true), ..)));
        let Some((status, reason, message)) = &self.known.verdict else { return };
        let refused = matches!(
            reason,
            ReasonCode::Condition(ConditionCode::RouteRefused | ConditionCode::RouteNotFound)
        );
        facts.refusal = (*status == Some(false) && refused).then(|| message.clone());
    }

    fn effect(&mut self, phase: Phase, view: &View<'_>, core: &Core) -> Option<Effect> {
        if phase != Phase::Upkeep {
            return None;
        }
        self.again = None;
        self.step = view.service.spec.steered().map(|rule| Turn::of(rule, view, core).plan(&mut self.known));
        match self.step {
            Some(Step::Write { .. }) => Some(Effect::restored("set the weights of a rule")),
            Some(_) => Some(Effect::new("check the weights of a rule")),
            None => self.known.policy.was_looked_for().then(|| Effect::new("delete the policy of a rule")),
        }
    }

    fn execute<'a>(&'a mut self, _: Phase, view: &'a View<'_>, core: &'a mut Core) -> BoxFuture<'a, ()> {
        async move {
            self.again = match view.service.spec.steered() {
                Some(rule) => {
                    let Some(step) = self.step.take() else { return };
                    steer(&mut self.known, step, &Turn::of(rule, view, core)).await
                }
                None => {
                    let mut policy = std::mem::take(&mut self.known).policy;
                    let again = policy::leave(view.service, &mut policy, view.context).await;
                    self.known.policy = policy;
                    again
                }
            };
        }
        .boxed()
    }

    fn stopped(&mut self, _: &Effect, why: &WriteError) {
        let error = why.message();
        let sentence = format!("the weights are not changed, since the finalizer can't be written: {error}");
        let stale = actuate::is_stale(why);
        let (status, reason) = if stale {
            (None, ConditionCode::RouteProgressing.into())
        } else {
            (Some(false), ConditionCode::RouteFailed.into())
        };
        self.known.verdict = Some((status, reason, sentence));
        self.again = Some(if stale { AFTER_CONFLICT } else { AFTER_FAILURE });
    }

    fn restore<'a>(
        &'a self,
        key: &'a ServiceKey,
        client: &'a Client,
        permit: &'a Permit,
    ) -> BoxFuture<'a, Result<Vec<String>, WriteError>> {
        restore::weights(key, client, permit).boxed()
    }

    fn synced(&self, view: &View<'_>) -> Option<Verdict> {
        view.service.spec.steered()?;
        let (status, reason, message) = self.known.verdict.clone()?;
        Some(Verdict { type_: ConditionType::TrafficSynced, status, reason, message })
    }

    fn next_turn(&self) -> Option<Duration> {
        self.again
    }
}

/// Sets the weights of the rule, or checks whether they are in force. Returns the time until the next turn, if no watch will
/// trigger it.
async fn steer(known: &mut KnownRoute, step: Step, turn: &Turn<'_>) -> Option<Duration> {
    let key = turn.key;
    let before = known.verdict.as_ref().map(|(_, reason, _)| *reason);
    let (weights, again) = turn.take(step, known).await;
    let (policy, later) = turn.policy(turn.keeper().is_none(), &mut known.policy).await;
    let verdict = together(weights, policy);
    if before != Some(verdict.1) {
        let (reason, message) = (verdict.1.name(), &verdict.2);
        tracing::info!(namespace = key.namespace, name = key.name, reason, "{message}");
    }
    known.verdict = Some(verdict);
    again.into_iter().chain(later).min()
}

/// The condition for both: the worse one, that of the weights first.
fn together(weights: ConditionUpdate, policy: Option<ConditionUpdate>) -> ConditionUpdate {
    match (weights, policy) {
        ((Some(true), reason, weights), Some((Some(true), _, policy))) => {
            (Some(true), reason, format!("{weights}; {policy}"))
        }
        (weights @ (Some(false), ..), _) => weights,
        (_, Some(policy @ (Some(false), ..))) => policy,
        ((Some(true), ..), Some(policy)) => policy,
        (weights, _) => weights,
    }
}

impl Turn<'_> {
    /// Plans the step of this turn.
    fn plan(&self, known: &mut KnownRoute) -> Step {
        if let Some(keeper) = self.keeper() {
            let sentence = format!(
                "rule {} of HTTPRoute {} is already steered by the older ScalableService {keeper}: \
                 use another rule for this one, or delete one of the two",
                self.rule.rule, self.rule.http_route
            );
            return Step::Wait((Some(false), ConditionCode::RouteRefused.into(), sentence), None);
        }
        let route = match self.route(known) {
            Ok(route) => route,
            Err(verdict) => {
                // The end of the initial list changes no route, so it triggers no turn.
                let again = (verdict.1 == ConditionCode::RouteProgressing.into()).then_some(AGAIN);
                return Step::Wait(verdict, again);
            }
        };
        match plan(&route, &self.rule.rule, &self.shares, &known.given.shares, &self.key.name) {
            Plan::InSync => Step::Believe(route),
            Plan::Refused(sentence) => {
                Step::Wait((Some(false), ConditionCode::RouteRefused.into(), sentence), None)
            }
            Plan::Change(change) => {
                let what = format!("rule {} of HTTPRoute {}: {}", self.rule.rule, route.name, change.what);
                let why = match self.service.spec.mode {
                    Mode::Auto => return Step::Write { route, patch: change.patch, what },
                    Mode::Observe => (DecisionCode::Observing.into(), "Observe"),
                    Mode::Paused => (DecisionCode::Paused.into(), "Paused"),
                };
                let (reason, mode) = why;
                let sentence = format!("mode is {mode}: the weights are not changed; pending: {what}");
                Step::Wait((None, reason, sentence), None)
            }
        }
    }

    /// Takes a step. Returns the condition of the weights, and the time until the next turn.
    async fn take(&self, step: Step, known: &mut KnownRoute) -> (ConditionUpdate, Option<Duration>) {
        match step {
            Step::Wait(verdict, again) => (verdict, again),
            Step::Believe(route) => {
                // Weights that were correct without a write count as ours too.
                known.given.shares.clone_from(&self.shares);
                self.believe(&route, &mut known.proof)
            }
            Step::Write { route, patch, what } => self.write(&route, known, patch, what).await,
        }
    }

    /// The newest known route: from the watch, or from our own last write.
    fn route(&self, known: &mut KnownRoute) -> Result<Route, ConditionUpdate> {
        let routes = &self.context.routes;
        let (namespace, name) = (&self.key.namespace, &self.rule.http_route);
        match read(&routes.served, |served| *served) {
            Served::Yes => {}
            Served::Off => {
                let sentence =
                    "this operator is installed without traffic and has no permission for HTTPRoutes; \
                     set the chart value traffic.enabled to true"
                        .to_owned();
                return Err((Some(false), ConditionCode::RouteNotFound.into(), sentence));
            }
            Served::Unknown => {
                let sentence = "HTTPRoutes are not listed yet".to_owned();
                return Err((None, ConditionCode::RouteProgressing.into(), sentence));
            }
            Served::No => {
                let sentence = "this cluster does not serve HTTPRoute of gateway.networking.k8s.io/v1; \
                                install the CRDs of the Gateway API"
                    .to_owned();
                return Err((Some(false), ConditionCode::RouteNotFound.into(), sentence));
            }
        }
        let Some(seen) = read(&routes.index, |index| index.get(namespace, name).cloned()) else {
            known.written = None;
            let sentence = format!("HTTPRoute {name} does not exist in namespace {namespace}");
            return Err((Some(false), ConditionCode::RouteNotFound.into(), sentence));
        };
        let newer = |written: &Route| written.uid == seen.uid && written.generation > seen.generation;
        match known.written.take().filter(newer) {
            Some(written) => {
                known.written = Some(written.clone());
                Ok(written)
            }
            None => Ok(seen),
        }
    }

    async fn write(
        &self,
        route: &Route,
        known: &mut KnownRoute,
        patch: Vec<Value>,
        what: String,
    ) -> (ConditionUpdate, Option<Duration>) {
        let shared = &self.context.shared;
        let waiting = known.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        if let (Some(wait), Some(verdict)) = (waiting.filter(|wait| !wait.is_zero()), &known.verdict) {
            return (verdict.clone(), Some(wait));
        }
        if let Some(wait) = known.given.pause(&self.shares) {
            let sentence = format!(
                "another client has reverted the weights {} times, each within {} s; \
                 only Plimsoll may set them; pending: {what}",
                known.given.undone,
                UNDONE_WITHIN.as_secs()
            );
            return ((Some(false), ConditionCode::RouteRefused.into(), sentence), Some(wait));
        }
        let permit = shared.leader.permit(WRITE_TIMEOUT);
        let written =
            actuate::patch_route(&shared.client, &route.namespace, &route.name, patch, &permit).await;
        let error = match written {
            Ok(object) => {
                known.written = Route::of(&object);
                known.given.again(&self.shares);
                let about = self.service.object_ref(&());
                let note = Note {
                    warning: false,
                    reason: ConditionCode::RouteChanged.into(),
                    message: what.clone(),
                };
                shared.events.push(note, about);
                let verdict = (
                    None,
                    ConditionCode::RouteProgressing.into(),
                    format!("{what}; its Gateways have not accepted it yet"),
                );
                // The Gateways' status in the answer belongs to the previous generation.
                return (verdict, Some(AGAIN));
            }
            Err(error) if actuate::is_stale(&error) => {
                let sentence = format!("another client changed the route in the meantime; pending: {what}");
                known.not_before = Some(Instant::now() + AFTER_CONFLICT);
                return ((None, ConditionCode::RouteProgressing.into(), sentence), Some(AFTER_CONFLICT));
            }
            Err(WriteError::NotLeading) => {
                let sentence = format!("another instance leads; pending: {what}");
                return ((None, ConditionCode::RouteProgressing.into(), sentence), None);
            }
            Err(WriteError::Timeout(limit)) => format!("not written within {} s", limit.as_secs()),
            Err(error) => error.message(),
        };
        known.not_before = Some(Instant::now() + AFTER_FAILURE);
        ((Some(false), ConditionCode::RouteFailed.into(), format!("{what}: {error}")), Some(AFTER_FAILURE))
    }
}
