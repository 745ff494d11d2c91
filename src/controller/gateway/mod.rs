//! A rule of somebody's HTTPRoute that follows failover: its weights, what its controllers say, and whether it answers.
//!
//! Every turn, also one that is not due, comes by here; what takes time (requests through the Gateway) runs beside the
//! turns and calls for one when it is done.

mod direct;
mod given;
mod policy;
mod proof;
mod restore;
mod turn;

use std::time::Duration;

use kube::{Client, Resource as _};
use tokio::time::Instant;

use futures::future::{BoxFuture, FutureExt as _};

use super::{
    capability::{Capability, Effect, Phase, Sight, View},
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
use plimsoll_api::{ConditionType, GatewayRule, Mode, ReasonCode, Verdict};
use policy::KnownPolicy;
use proof::Proof;
use turn::{AFTER_FAILURE, AGAIN, Said, Turn};

/// Pause before weights are planned anew when the route changed under them.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);

/// What is remembered of the rule that a service steers.
#[derive(Debug, Default)]
struct KnownRoute {
    /// What is to be said of `TrafficSynced`.
    verdict: Option<Said>,
    /// The route as the last write left it, until the watch shows it.
    written: Option<Route>,
    /// What was seen of the Gateways.
    proof: Proof,
    /// No write before this moment.
    not_before: Option<Instant>,
    /// The weights that this process gave last.
    given: Given,
    /// What stands beside the rule.
    policy: KnownPolicy,
}

/// Steers the rule of an HTTPRoute.
#[derive(Debug, Default)]
pub struct Steering {
    known: KnownRoute,
    /// When to look again, where no watch will call for it.
    again: Option<Duration>,
}

impl Capability for Steering {
    fn sight(&self, view: &View<'_>, sight: &mut Sight) {
        if view.service.spec.steered().is_none() {
            return;
        }
        sight.settled = matches!(self.known.verdict, Some((Some(true), ..)));
        let Some((status, reason, message)) = &self.known.verdict else { return };
        let refused = matches!(reason, ReasonCode::RouteRefused | ReasonCode::RouteNotFound);
        sight.refusal = (*status == Some(false) && refused).then(|| message.clone());
    }

    fn effect(&mut self, phase: Phase, view: &View<'_>, core: &Core) -> Option<Effect> {
        if phase != Phase::Upkeep {
            return None;
        }
        self.again = None;
        match view.service.spec.steered() {
            Some(rule) if Turn::of(rule, view, core).writes(&mut self.known) => {
                Some(Effect::restored("set the weights of a rule"))
            }
            Some(_) => Some(Effect::new("check the weights of a rule")),
            None => self.known.policy.was_looked_for().then(|| Effect::new("delete the policy of a rule")),
        }
    }

    fn execute<'a>(&'a mut self, _: Phase, view: &'a View<'_>, core: &'a mut Core) -> BoxFuture<'a, ()> {
        async move {
            self.again = match view.service.spec.steered() {
                Some(rule) => steer(&mut self.known, rule, view, core).await,
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
        let sentence = format!(
            "the weights wait for the finalizer of the service, which can't be written: {}",
            why.said()
        );
        let stale = actuate::is_stale(why);
        let (status, reason) =
            if stale { (None, ReasonCode::RouteProgressing) } else { (Some(false), ReasonCode::RouteFailed) };
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

/// Gives the rule its weights and finds out whether they are in force. Returns when to look again, where no watch will call
/// for it.
async fn steer(known: &mut KnownRoute, rule: &GatewayRule, view: &View<'_>, core: &Core) -> Option<Duration> {
    let key = view.key;
    let turn = Turn::of(rule, view, core);
    let before = known.verdict.as_ref().map(|(_, reason, _)| *reason);
    let keeper = turn.keeper();
    let (weights, again) = turn.step(known, keeper.as_deref()).await;
    let (policy, later) = turn.policy(keeper.is_none(), &mut known.policy).await;
    let said = together(weights, policy);
    if before != Some(said.1) {
        let (reason, message) = (said.1.name(), &said.2);
        tracing::info!(namespace = key.namespace, name = key.name, reason, "{message}");
    }
    known.verdict = Some(said);
    again.into_iter().chain(later).min()
}

/// What is said of both: the trouble, of the weights first.
fn together(weights: Said, policy: Option<Said>) -> Said {
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
    /// The next change of the rule.
    fn plan(&self, route: &Route, known: &KnownRoute) -> Plan {
        plan(route, &self.rule.rule, &self.shares, &known.given.shares, &self.key.name)
    }

    /// Whether the next step changes weights.
    fn writes(&self, known: &mut KnownRoute) -> bool {
        self.service.spec.mode == Mode::Auto
            && self.keeper().is_none()
            && self.route(known).is_ok_and(|route| matches!(self.plan(&route, known), Plan::Change(_)))
    }

    /// `keeper` is another service that the rule belongs to.
    async fn step(&self, known: &mut KnownRoute, keeper: Option<&str>) -> (Said, Option<Duration>) {
        if let Some(keeper) = keeper {
            let sentence = format!(
                "rule {} of HTTPRoute {} is steered by the ScalableService {keeper}, which is older: give this one a rule of its \
                 own, or delete one of the two",
                self.rule.rule, self.rule.http_route
            );
            return ((Some(false), ReasonCode::RouteRefused, sentence), None);
        }
        let route = match self.route(known) {
            Ok(route) => route,
            Err(said) => {
                // That the list is there is no change of any route, so that nothing would call for a turn.
                let again = (said.1 == ReasonCode::RouteProgressing).then_some(AGAIN);
                return (said, again);
            }
        };
        match self.plan(&route, known) {
            Plan::InSync => {
                // What is right without us is ours to take back as well.
                known.given.shares.clone_from(&self.shares);
                self.believe(&route, &mut known.proof)
            }
            Plan::Refused(sentence) => ((Some(false), ReasonCode::RouteRefused, sentence), None),
            Plan::Change(change) => {
                let what = format!("rule {} of HTTPRoute {}: {}", self.rule.rule, route.name, change.what);
                let why = match self.service.spec.mode {
                    Mode::Auto => return self.write(&route, known, change.patch, what).await,
                    Mode::Observe => (ReasonCode::Observing, "Observe"),
                    Mode::Paused => (ReasonCode::Paused, "Paused"),
                };
                let (reason, mode) = why;
                ((None, reason, format!("mode is {mode}: weights stay as they are; due is {what}")), None)
            }
        }
    }

    /// The route, as the watch or our own last write knows it.
    fn route(&self, known: &mut KnownRoute) -> Result<Route, Said> {
        let routes = &self.context.routes;
        let (namespace, name) = (&self.key.namespace, &self.rule.http_route);
        match read(&routes.served, |served| *served) {
            Served::Yes => {}
            Served::Off => {
                let sentence =
                    "this operator runs without traffic and has no right to HTTPRoutes; the chart's value \
                                traffic.enabled has to be true"
                        .to_owned();
                return Err((Some(false), ReasonCode::RouteNotFound, sentence));
            }
            Served::Unknown => {
                let sentence = "HTTPRoutes are not listed yet".to_owned();
                return Err((None, ReasonCode::RouteProgressing, sentence));
            }
            Served::No => {
                let sentence = "this cluster does not serve HTTPRoute of gateway.networking.k8s.io/v1; the Gateway API's \
                                resource definitions have to be installed"
                    .to_owned();
                return Err((Some(false), ReasonCode::RouteNotFound, sentence));
            }
        }
        let Some(seen) = read(&routes.index, |index| index.get(namespace, name).cloned()) else {
            known.written = None;
            let sentence = format!("HTTPRoute {name} does not exist in namespace {namespace}");
            return Err((Some(false), ReasonCode::RouteNotFound, sentence));
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
        patch: Vec<serde_json::Value>,
        what: String,
    ) -> (Said, Option<Duration>) {
        let shell = &self.context.shell;
        let waiting = known.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        if let (Some(wait), Some(said)) = (waiting.filter(|wait| !wait.is_zero()), &known.verdict) {
            return (said.clone(), Some(wait));
        }
        if let Some(wait) = known.given.pause(&self.shares) {
            let sentence = format!(
                "somebody else has taken the weights back {} times, each within {} s: let Plimsoll alone set them; due is {what}",
                known.given.undone,
                UNDONE_WITHIN.as_secs()
            );
            return ((Some(false), ReasonCode::RouteRefused, sentence), Some(wait));
        }
        let permit = shell.leader.permit(WRITE_TIMEOUT);
        let written =
            actuate::patch_route(&shell.client, &route.namespace, &route.name, patch, &permit).await;
        let error = match written {
            Ok(object) => {
                known.written = Route::of(&object);
                known.given.again(&self.shares);
                let about = self.service.object_ref(&());
                let note = Note { warning: false, reason: ReasonCode::RouteChanged, message: what.clone() };
                shell.events.push(note, about);
                let said = (
                    None,
                    ReasonCode::RouteProgressing,
                    format!("{what}, which its Gateways have yet to take over"),
                );
                // What the write's answer already says of the Gateways is of the generation before.
                return (said, Some(AGAIN));
            }
            Err(error) if actuate::is_stale(&error) => {
                let sentence = format!("somebody else changed it meanwhile; due is {what}");
                known.not_before = Some(Instant::now() + AFTER_CONFLICT);
                return ((None, ReasonCode::RouteProgressing, sentence), Some(AFTER_CONFLICT));
            }
            Err(WriteError::NotLeading) => {
                let sentence = format!("another instance leads; due is {what}");
                return ((None, ReasonCode::RouteProgressing, sentence), None);
            }
            Err(WriteError::Timeout(limit)) => format!("not written within {} s", limit.as_secs()),
            Err(error) => error.said(),
        };
        known.not_before = Some(Instant::now() + AFTER_FAILURE);
        ((Some(false), ReasonCode::RouteFailed, format!("{what}: {error}")), Some(AFTER_FAILURE))
    }
}
