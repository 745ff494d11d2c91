//! A rule of somebody's HTTPRoute that follows failover: its weights, what its controllers say, and whether it answers.
//!
//! Every turn, also one that is not due, comes by here; what takes time (requests through the Gateway) runs beside the
//! turns and calls for one when it is done.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, Resource as _, api::DynamicObject};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    apply::WRITE_TIMEOUT,
    context::Context,
    index::{Served, read, route_workload},
    state::{Key, State},
};
use crate::{
    actuate::{self, Note, said},
    api::{ConditionType, GatewayRule, Mode, Provider, ReasonCode, ScalableService, Verdict},
    balancer::gateway::{
        Gateway, ParentRef, Plan, Question, Route, Rule, Share, Word, accepted, gateway_resource, plan,
        probe::{self, Doubt},
        questions, shares,
    },
};

/// Requests in a row that have to be answered before a change counts as done: a tenth of the requests that goes
/// nowhere is overlooked by one of eight looks.
const PROBES: u32 = 20;
/// Requests in a row later on.
const PROBES_LATER: u32 = 5;
/// Time between two looks at a Gateway that answered.
const LATER: Duration = Duration::from_secs(30);
/// Time between two looks at one that has yet to answer, at first.
const AGAIN: Duration = Duration::from_millis(500);
/// The same, at most; it doubles.
const AGAIN_MAX: Duration = Duration::from_secs(15);
/// A Gateway may take so long for a change, from when its status says that it has it, before that is called a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// One look at all Gateways takes no longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a write that did not come about.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Pause before weights are planned anew when the route changed under them.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// Gateways of one route that are asked; a route may have 32.
const GATEWAYS_MAX: usize = 4;

/// What is remembered of the rule that a service steers.
#[derive(Debug, Default)]
pub struct KnownRoute {
    /// What is to be said of `TrafficSynced`.
    verdict: Option<Said>,
    /// The route as the last write left it, until the watch shows it.
    written: Option<Route>,
    /// What was seen of the Gateways.
    proof: Proof,
    /// No write before this moment.
    not_before: Option<Instant>,
}

type Said = (Option<bool>, ReasonCode, String);

/// Whether the Gateways answer.
#[derive(Debug, Default)]
struct Proof {
    /// The route that it is about: uid, generation.
    of: Option<(String, i64)>,
    /// Since when the Gateways say that they have it.
    since: Option<Instant>,
    /// A look that is under way.
    look: Option<Look>,
    /// What the last one found: requests that were answered.
    found: Option<Result<u32, Doubt>>,
    /// Looks in a row that found a doubt.
    doubts: u32,
    /// When to look again.
    next: Option<Instant>,
}

/// A look at the Gateways; it ends when it is dropped.
#[derive(Debug)]
struct Look {
    found: oneshot::Receiver<Result<u32, Doubt>>,
    _task: JoinSet<()>,
}

/// The rule that a service steers, if it does.
fn steered(service: &ScalableService) -> Option<&GatewayRule> {
    let traffic = service.spec.traffic.as_ref().filter(|traffic| traffic.provider == Provider::Gateway)?;
    traffic.gateway.as_ref()
}

/// What is to be said of `TrafficSynced`; `None` if the service steers no rule.
pub fn verdict(service: &ScalableService, state: &State) -> Option<Verdict> {
    steered(service)?;
    let (status, reason, message) = state.route.verdict.clone()?;
    Some(Verdict { type_: ConditionType::TrafficSynced, status, reason, message })
}

/// Brings the weights of the rule about and finds out whether they are in force. Returns when to look again, where no
/// watch will call for it.
pub async fn bring_about(
    service: &ScalableService,
    key: &Key,
    state: &mut State,
    context: &Context,
) -> Option<Duration> {
    let Some(rule) = steered(service) else {
        state.route = KnownRoute::default();
        return None;
    };
    let status = state.told().and_then(|status| status.failover.as_ref());
    let shares = shares((&key.0, &key.1), &service.spec, rule, status);
    let turn = Turn { service, key, rule, shares, context };
    let known = &mut state.route;
    let before = known.verdict.as_ref().map(|(_, reason, _)| *reason);
    let (said, again) = turn.step(known).await;
    if before != Some(said.1) {
        let (reason, message) = (said.1.name(), &said.2);
        tracing::info!(namespace = key.0, name = key.1, reason, "{message}");
    }
    known.verdict = Some(said);
    again
}

struct Turn<'a> {
    service: &'a ScalableService,
    key: &'a Key,
    rule: &'a GatewayRule,
    shares: Vec<Share>,
    context: &'a Context,
}

impl Turn<'_> {
    async fn step(&self, known: &mut KnownRoute) -> (Said, Option<Duration>) {
        let route = match self.route(known) {
            Ok(route) => route,
            Err(said) => return (said, None),
        };
        match plan(&route, &self.rule.rule, &self.shares) {
            Plan::InSync => self.believe(&route, &mut known.proof),
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
        let (namespace, name) = (&self.key.0, &self.rule.http_route);
        match read(&routes.served, |served| *served) {
            Served::Yes => {}
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
        patch: serde_json::Value,
        what: String,
    ) -> (Said, Option<Duration>) {
        let shell = &self.context.shell;
        let waiting = known.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        if let (Some(wait), Some(said)) = (waiting.filter(|wait| !wait.is_zero()), &known.verdict) {
            return (said.clone(), Some(wait));
        }
        if !shell.leader.leads() {
            return (
                (None, ReasonCode::RouteProgressing, format!("somebody else leads; due is {what}")),
                None,
            );
        }
        let write = actuate::patch_route(&shell.client, &route.namespace, &route.name, patch);
        let error = match timeout(WRITE_TIMEOUT, write).await {
            Ok(Ok(object)) => {
                known.written = Route::of(&object);
                let about = self.service.object_ref(&());
                let note = Note { warning: false, reason: ReasonCode::RouteChanged, message: what.clone() };
                shell.events.publish(&note, &about).await;
                let said = (
                    None,
                    ReasonCode::RouteProgressing,
                    format!("{what}, which its Gateways have yet to take over"),
                );
                // What the write's answer already says of the Gateways is of the generation before.
                return (said, Some(AGAIN));
            }
            Ok(Err(error)) if actuate::is_stale(&error) => {
                let sentence = format!("somebody else changed it meanwhile; due is {what}");
                known.not_before = Some(Instant::now() + AFTER_CONFLICT);
                return ((None, ReasonCode::RouteProgressing, sentence), Some(AFTER_CONFLICT));
            }
            Ok(Err(error)) => said(&error),
            Err(_) => format!("not written within {} s", WRITE_TIMEOUT.as_secs()),
        };
        known.not_before = Some(Instant::now() + AFTER_FAILURE);
        ((Some(false), ReasonCode::RouteFailed, format!("{what}: {error}")), Some(AFTER_FAILURE))
    }

    /// Whether weights that are right are in force: only if everybody says so of this generation, and it answers.
    fn believe(&self, route: &Route, proof: &mut Proof) -> (Said, Option<Duration>) {
        let of = Some((route.uid.clone(), route.generation));
        if proof.of != of {
            *proof = Proof { of, ..Proof::default() };
        }
        match accepted(route) {
            Word::Yes => {}
            Word::Waiting(sentence) => {
                proof.since = None;
                return ((None, ReasonCode::RouteProgressing, sentence), None);
            }
            Word::No(sentence) => {
                proof.since = None;
                return ((Some(false), ReasonCode::RouteNotAccepted, sentence), None);
            }
        }
        let now = Instant::now();
        let since = *proof.since.get_or_insert(now);
        if let Some(Ok(found)) = proof.look.as_mut().map(|look| look.found.try_recv()) {
            proof.look = None;
            proof.doubts = if found.is_ok() { 0 } else { proof.doubts.saturating_add(1) };
            let pause = if found.is_ok() { LATER } else { AGAIN_MAX.min(AGAIN * (1 << proof.doubts.min(6))) };
            proof.next = Some(now + pause);
            if found.is_err() && matches!(proof.found, Some(Ok(_))) {
                // It has answered until now: what it may take for a change counts anew.
                proof.since = Some(now);
            }
            proof.found = Some(found);
        }
        if proof.look.is_none() && proof.next.is_none_or(|next| next <= now) {
            proof.look = Some(self.look(route, matches!(proof.found, Some(Ok(_)))));
        }
        // A look calls for a turn when it is done.
        let again =
            proof.next.map(|next| next.saturating_duration_since(now)).filter(|_| proof.look.is_none());
        (self.said(route, since, proof.found.as_ref()), again)
    }

    fn said(&self, route: &Route, since: Instant, found: Option<&Result<u32, Doubt>>) -> Said {
        let weights: Vec<String> =
            self.shares.iter().map(|share| format!("{} {}", share.service, share.weight)).collect();
        let rule = format!("rule {} of HTTPRoute {}", self.rule.rule, route.name);
        let weights = format!("{rule} has the weights {}", weights.join(", "));
        let generation = route.generation;
        match found {
            Some(Ok(0)) => {
                let sentence = format!(
                    "{weights}, accepted at generation {generation}; no GET can meet the rule, so nobody asked whether it answers"
                );
                (Some(true), ReasonCode::RouteInSync, sentence)
            }
            Some(Ok(_)) => (
                Some(true),
                ReasonCode::RouteInSync,
                format!("{weights}, accepted at generation {generation}, and answers"),
            ),
            None => {
                (None, ReasonCode::RouteProgressing, format!("{weights}; whether it answers is being asked"))
            }
            Some(Err(doubt @ Doubt::Answer(_))) if since.elapsed() >= PATIENCE => {
                (Some(false), ReasonCode::RouteNotServing, format!("{weights}, but {}", doubt.sentence()))
            }
            Some(Err(doubt)) => {
                (None, ReasonCode::RouteProgressing, format!("{weights}, but {}", doubt.sentence()))
            }
        }
    }

    /// Looks at all Gateways beside the turns, and calls for a turn at the end.
    fn look(&self, route: &Route, later: bool) -> Look {
        let client = self.context.shell.client.clone();
        let (route, name, changed) = (route.clone(), self.rule.rule.clone(), self.context.changed.clone());
        let times = if later { PROBES_LATER } else { PROBES };
        let concerned = route_workload(&route.namespace, &route.name);
        let look = async move {
            let rule = route.rules.iter().find(|rule| rule.name.as_ref() == Some(&name));
            let Some(rule) = rule else { return Ok(0) };
            look_at_all(&client, &route, rule, times).await
        };
        let (tell, found) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let seconds = LOOK_TIMEOUT.as_secs();
            let late = |_| Err(Doubt::Unreachable(format!("its Gateways did not answer within {seconds} s")));
            let _ = tell.send(timeout(LOOK_TIMEOUT, look).await.unwrap_or_else(late));
            let _ = changed.send(concerned).await;
        });
        Look { found, _task: task }
    }
}

/// Asks every Gateway of the route; how many requests were answered.
async fn look_at_all(client: &Client, route: &Route, rule: &Rule, times: u32) -> Result<u32, Doubt> {
    let mut asked = Vec::new();
    for parent in route.parents.iter().filter(|parent| parent.is_gateway()).take(GATEWAYS_MAX) {
        asked.extend(questions_at(client, route, rule, parent).await?);
    }
    if asked.is_empty() {
        return Ok(0);
    }
    let service = heaviest(client, route, rule).await;
    let all = asked.iter().map(|question| probe::ask(question, times, service));
    futures::future::try_join_all(all).await?;
    Ok(u32::try_from(asked.len()).unwrap_or(u32::MAX).saturating_mul(times))
}

async fn questions_at(
    client: &Client,
    route: &Route,
    rule: &Rule,
    parent: &ParentRef,
) -> Result<Vec<Question>, Doubt> {
    let namespace = parent.namespace.as_deref().unwrap_or(&route.namespace);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &gateway_resource());
    let place = format!("Gateway {namespace}/{}", parent.name);
    let found = api.get_opt(&parent.name).await;
    let found =
        found.map_err(|error| Doubt::Unreachable(format!("{place} can't be read: {}", said(&error))))?;
    let found = found.ok_or_else(|| Doubt::Unreachable(format!("{place} does not exist")))?;
    let gateway = Gateway::of(&found);
    let gateway = gateway.ok_or_else(|| Doubt::Unreachable(format!("{place} is not understood")))?;
    questions(route, rule, parent, &gateway).map_err(Doubt::Unreachable)
}

/// Where the Service with the largest weight is; `None` if it has no address of its own, or nobody may know it.
async fn heaviest(client: &Client, route: &Route, rule: &Rule) -> Option<SocketAddr> {
    let services = rule.backend_refs.iter().filter(|backend| backend.is_service());
    let backend = services.max_by_key(|backend| backend.weight())?;
    let namespace = backend.namespace.as_deref().unwrap_or(&route.namespace);
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let address: IpAddr = api.get_opt(&backend.name).await.ok()??.spec?.cluster_ip?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(backend.port?).ok()?))
}
