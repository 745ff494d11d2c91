//! Checks whether the wanted weights are in force: by the Gateways' status and by probes.

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
    actuate::message_of,
    balancer::gateway::{
        Acceptance, Gateway, ParentRef, Question, Route, Rule, accepted, gateway_resource,
        probe::{self, Doubt},
        questions,
    },
    controller::index::route_workload,
};
use plimsoll_api::ConditionCode;

/// Requests in a row that have to be answered before a change counts as done. If a tenth of all requests fails, one of eight
/// probes misses it.
const PROBES: u32 = 20;
/// Requests in a row later on.
const PROBES_LATER: u32 = 5;
/// Time between two probes of a Gateway that answered.
const LATER: Duration = Duration::from_secs(30);
/// Maximum time between two probes of one that did not; it doubles up to this.
const AGAIN_MAX: Duration = Duration::from_secs(15);
/// Time that a Gateway has to apply a change after its status reports it; later, a failed probe is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time limit for one probe of all Gateways.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of probed Gateways per route; a route may have 32.
const GATEWAYS_MAX: usize = 4;

/// The state of the probes.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// The probed route: UID, generation.
    of: Option<(String, i64)>,
    /// Since when the Gateways' status reports it as accepted.
    since: Option<Instant>,
    /// A probe in progress.
    look: Option<Look>,
    /// The result of the last one: the number of answered requests.
    found: Option<Result<u32, Doubt>>,
    /// Failed probes in a row.
    doubts: u32,
    /// Time of the next probe.
    next: Option<Instant>,
}

/// A probe of the Gateways; it is aborted when dropped.
#[derive(Debug)]
struct Look {
    found: oneshot::Receiver<Result<u32, Doubt>>,
    _task: JoinSet<()>,
}

impl Turn<'_> {
    /// Whether the wanted weights are in force: every controller must have accepted this generation, and the probe must pass.
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
                // It has answered until now, so its time for a change starts again.
                proof.since = Some(now);
            }
            proof.found = Some(found);
        }
        if proof.look.is_none() && proof.next.is_none_or(|next| next <= now) {
            proof.look = Some(self.look(route, matches!(proof.found, Some(Ok(_)))));
        }
        // A probe triggers a turn when it is done.
        let again =
            proof.next.map(|next| next.saturating_duration_since(now)).filter(|_| proof.look.is_none());
        (self.verdict(route, since, proof.found.as_ref()), again)
    }

    fn verdict(&self, route: &Route, since: Instant, found: Option<&Result<u32, Doubt>>) -> ConditionUpdate {
        let weights: Vec<String> =
            self.shares.iter().map(|share| format!("{} {}", share.service, share.weight)).collect();
        let rule = format!("rule {} of HTTPRoute {}", self.rule.rule, route.name);
        let weights = format!("{rule} has the weights {}", weights.join(", "));
        let generation = route.generation;
        match found {
            Some(Ok(0)) => {
                let sentence = format!(
                    "{weights}, accepted at generation {generation}; not probed, since no GET request can \
                     match the rule, or none of its parents is a Gateway"
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
                format!("{weights}; the first probe is in progress"),
            ),
            Some(Err(doubt @ Doubt::Answer(_))) if since.elapsed() >= PATIENCE => (
                Some(false),
                ConditionCode::RouteNotServing.into(),
                format!("{weights}, but {}", doubt.sentence()),
            ),
            // The status counts if the Gateway can't be probed: it may be for another network, or need a client certificate.
            Some(Err(doubt @ Doubt::Unreachable(_))) if since.elapsed() >= PATIENCE => (
                Some(true),
                ConditionCode::RouteInSync.into(),
                format!(
                    "{weights}, accepted at generation {generation}; could not be probed: {}",
                    doubt.sentence()
                ),
            ),
            Some(Err(doubt)) => {
                (None, ConditionCode::RouteProgressing.into(), format!("{weights}, but {}", doubt.sentence()))
            }
        }
    }

    /// Probes all Gateways in the background, and triggers a turn at the end.
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
        let (sender, found) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let seconds = LOOK_TIMEOUT.as_secs();
            let late = |_| Err(Doubt::Unreachable(format!("its Gateways did not answer within {seconds} s")));
            let _ = sender.send(timeout(LOOK_TIMEOUT, look).await.unwrap_or_else(late));
            let _ = changed.send(concerned).await;
        });
        Look { found, _task: task }
    }
}

/// Probes every Gateway of the route. Returns the number of answered requests.
async fn look_at_all(client: &Client, route: &Route, rule: &Rule, times: u32) -> Result<u32, Doubt> {
    let gateways = route.parents.iter().filter(|parent| parent.is_gateway()).take(GATEWAYS_MAX);
    // Resolved once, and only if there is something to probe.
    let service = &OnceCell::new();
    let looks = gateways.map(|parent| async move {
        let asked = questions_at(client, route, rule, parent).await?;
        if asked.is_empty() {
            return Ok(0);
        }
        let service = *service.get_or_init(|| direct::heaviest(client, route, rule)).await;
        let answers = asked.iter().map(|question| probe::ask(question, times, service));
        // One reachable address or listener is enough: others may be for other networks, or need a client certificate.
        together(join_all(answers).await.into_iter().map(|answer| answer.map(|()| times)), true)
    });
    together(join_all(looks).await.into_iter(), false)
}

/// The number of answered requests. A wrong answer is an error; so is an unreachable Gateway, unless `one_is_enough` and
/// another one answered.
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
    let found = found
        .map_err(|error| Doubt::Unreachable(format!("{place} can't be read: {}", message_of(&error))))?;
    let found = found.ok_or_else(|| Doubt::Unreachable(format!("{place} does not exist")))?;
    let gateway = Gateway::of(&found);
    let gateway = gateway.ok_or_else(|| Doubt::Unreachable(format!("{place} can't be parsed")))?;
    questions(route, rule, parent, &gateway).map_err(Doubt::Unreachable)
}
