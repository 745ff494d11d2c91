//! Whether weights that are as they should be are in force: what the Gateways say, and whether they answer.

use std::time::Duration;

use futures::future::join_all;
use kube::{Api, Client, api::DynamicObject};
use tokio::{
    sync::{OnceCell, oneshot},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    direct,
    turn::{AGAIN, ConditionUpdate, Turn},
};
use crate::{
    actuate::said,
    balancer::gateway::{
        Acceptance, Gateway, ParentRef, Question, Route, Rule, accepted, gateway_resource,
        probe::{self, Doubt},
        questions,
    },
    controller::index::route_workload,
};
use plimsoll_api::ConditionCode;

/// Requests in a row that have to be answered before a change counts as done: a tenth of the requests that goes
/// nowhere is overlooked by one of eight looks.
const PROBES: u32 = 20;
/// Requests in a row later on.
const PROBES_LATER: u32 = 5;
/// Time between two looks at a Gateway that answered.
const LATER: Duration = Duration::from_secs(30);
/// The same, at most; it doubles.
const AGAIN_MAX: Duration = Duration::from_secs(15);
/// A Gateway may take so long for a change, from when its status says that it has it, before that is called a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// One look at all Gateways takes no longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Gateways of one route that are asked; a route may have 32.
const GATEWAYS_MAX: usize = 4;

/// Whether the Gateways answer.
#[derive(Debug, Default)]
pub(super) struct Proof {
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

impl Turn<'_> {
    /// Whether weights that are right are in force: only if everybody says so of this generation, and it answers.
    pub(super) fn believe(&self, route: &Route, proof: &mut Proof) -> (ConditionUpdate, Option<Duration>) {
        let of = Some((route.uid.clone(), route.generation));
        if proof.of != of {
            *proof = Proof { of, ..Proof::default() };
        }
        match accepted(route) {
            Acceptance::Yes => {}
            Acceptance::Waiting(sentence) => {
                proof.since = None;
                return ((None, ConditionCode::RouteProgressing.into(), sentence), None);
            }
            Acceptance::No(sentence) => {
                proof.since = None;
                return ((Some(false), ConditionCode::RouteNotAccepted.into(), sentence), None);
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

    fn said(&self, route: &Route, since: Instant, found: Option<&Result<u32, Doubt>>) -> ConditionUpdate {
        let weights: Vec<String> =
            self.shares.iter().map(|share| format!("{} {}", share.service, share.weight)).collect();
        let rule = format!("rule {} of HTTPRoute {}", self.rule.rule, route.name);
        let weights = format!("{rule} has the weights {}", weights.join(", "));
        let generation = route.generation;
        match found {
            Some(Ok(0)) => {
                let sentence = format!(
                    "{weights}, accepted at generation {generation}; whether it answers was not asked, since no GET can meet the \
                     rule, or none of its parents is a Gateway"
                );
                (Some(true), ConditionCode::RouteInSync.into(), sentence)
            }
            Some(Ok(_)) => (
                Some(true),
                ConditionCode::RouteInSync.into(),
                format!("{weights}, accepted at generation {generation}, and answers"),
            ),
            None => (
                None,
                ConditionCode::RouteProgressing.into(),
                format!("{weights}; whether it answers is being asked"),
            ),
            Some(Err(doubt @ Doubt::Answer(_))) if since.elapsed() >= PATIENCE => (
                Some(false),
                ConditionCode::RouteNotServing.into(),
                format!("{weights}, but {}", doubt.sentence()),
            ),
            // It is nothing against the Gateway's word: it may be for another network, or for clients with a certificate.
            Some(Err(doubt @ Doubt::Unreachable(_))) if since.elapsed() >= PATIENCE => (
                Some(true),
                ConditionCode::RouteInSync.into(),
                format!(
                    "{weights}, accepted at generation {generation}; whether it answers is not known: {}",
                    doubt.sentence()
                ),
            ),
            Some(Err(doubt)) => {
                (None, ConditionCode::RouteProgressing.into(), format!("{weights}, but {}", doubt.sentence()))
            }
        }
    }

    /// Looks at all Gateways beside the turns, and calls for a turn at the end.
    fn look(&self, route: &Route, later: bool) -> Look {
        let client = self.context.shared.client.clone();
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
    let gateways = route.parents.iter().filter(|parent| parent.is_gateway()).take(GATEWAYS_MAX);
    // Looked for once, and only if there is something to ask.
    let service = &OnceCell::new();
    let looks = gateways.map(|parent| async move {
        let asked = questions_at(client, route, rule, parent).await?;
        if asked.is_empty() {
            return Ok(0);
        }
        let service = *service.get_or_init(|| direct::heaviest(client, route, rule)).await;
        let answers = asked.iter().map(|question| probe::ask(question, times, service));
        // One address or listener that can be asked is enough: others may be for other networks, or want a certificate.
        together(join_all(answers).await.into_iter().map(|answer| answer.map(|()| times)), true)
    });
    together(join_all(looks).await.into_iter(), false)
}

/// Requests that were answered. An answer that is none counts first, then what can't be asked, unless `one_is_enough` and
/// there is one.
fn together(found: impl Iterator<Item = Result<u32, Doubt>>, one_is_enough: bool) -> Result<u32, Doubt> {
    let (mut answered, mut silent) = (0_u32, None);
    for found in found {
        match found {
            Ok(times) => answered = answered.saturating_add(times),
            Err(doubt @ Doubt::Answer(_)) => return Err(doubt),
            Err(doubt) => silent = silent.or(Some(doubt)),
        }
    }
    silent.filter(|_| !one_is_enough || answered == 0).map_or(Ok(answered), Err)
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
