//! Failover: the state of the standbys, manual overrides, and claims on other services.

mod claims;
mod report;
mod standbys;

use self::{
    claims::{behind, consents, manual_override, shares},
    standbys::{Asked, KnownStandby, KnownStandbys},
};
use super::{
    capability::{Capability, Effect, Look, Part, Phase, Reported, SharedFacts, View},
    context::Others,
    core::Core,
    fleet::Fleet,
    index::Target,
    key::ServiceKey,
    outcome::Outcome,
    signals::Signals,
};
use crate::actuate::{self, Note, WRITE_TIMEOUT};
use futures::future::{BoxFuture, FutureExt as _};
use plimsoll_api::{
    FailoverState, PRIMARY, Percent, ScalableService, ScalableServiceStatus, Standby, Verdict,
};
use plimsoll_engine::{Capacity, Departure, FailoverInput, StandbySeen, Veto};

/// Follows the standbys and moves requests to them and back.
#[derive(Debug, Default)]
pub struct Failing {
    standbys: KnownStandbys,
    /// A status with new shares, to be written immediately.
    announced: Option<ScalableServiceStatus>,
}

impl Capability for Failing {
    fn signals(&self, view: &View<'_>, core: &Core, signals: &mut Signals) {
        claims::begin(view.context);
        let asked = view.context.shared.board.asked(view.key).replicas;
        signals.note("requested standby replicas", Some(asked).filter(|asked| *asked != 0));
        signals.note("failover annotations", manual_override(view.service));
        if view.service.spec.failover.is_some() {
            let fleet = view.facts.fleet.as_ref();
            signals.note("answering standbys", fleet.map(Fleet::answering_all));
            signals.call_if(has_lost_replicas(view, core), "fewer ready replicas");
        }
    }

    fn hurries(&self, look: &Look<'_>) -> bool {
        let Look { view, subject, .. } = look;
        view.service.spec.failover.is_some() && in_doubt(view.service, &subject.target)
    }

    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        failover_input(&mut self.standbys, look).boxed()
    }

    fn consent(&self, view: &View<'_>, departure: Departure<'_>) -> Result<(), Veto> {
        claims::consent(view.service, view.key, departure, view.context.others())
    }

    fn decided(&mut self, view: &View<'_>, core: &mut Core) {
        if let (Some(seen), Some(outcome)) = (&view.seen, &core.last) {
            claims::update(view.service, view.key, outcome, seen, view.facts.settled, view.context.others());
        }
    }

    fn effect(&mut self, phase: Phase, view: &View<'_>, core: &Core) -> Option<Effect> {
        let due = phase == Phase::Decision && view.seen.is_some();
        self.announced = if due { announced(core) } else { None };
        self.announced.as_ref().map(|_| Effect::new("announce the shares"))
    }

    fn execute<'a>(&'a mut self, _: Phase, view: &'a View<'_>, _: &'a mut Core) -> BoxFuture<'a, ()> {
        async move {
            let Some(status) = self.announced.take() else { return };
            let permit = view.context.shared.leader.permit(WRITE_TIMEOUT);
            let (client, key) = (&view.context.shared.client, view.key);
            // If it fails, the shares are written with the rest of the status.
            let _ = actuate::write_status(client, &key.namespace, &key.name, &status, &permit).await;
        }
        .boxed()
    }

    fn conditions(&self, _: &SharedFacts, outcome: &Outcome) -> Vec<Verdict> {
        outcome.failover().map(report::verdicts).into_iter().flatten().collect()
    }

    fn notes(&self, change: &Reported<'_>) -> Vec<Note> {
        report::notes(change.old, change.new, change.outcome)
    }
}

/// The last written status with new shares. It is written first, so that balancers don't wait for the write of the replicas,
/// in particular while the API server is slow. The rest of the status follows.
fn announced(core: &Core) -> Option<ScalableServiceStatus> {
    let (last_written, failover) = (core.last_written()?, core.last.as_ref()?.failover()?);
    let moved =
        last_written.failover.as_ref().is_some_and(|before| shares(before) != shares(&failover.status));
    moved.then(|| ScalableServiceStatus { failover: Some(failover.status.clone()), ..last_written.clone() })
}

/// Whether fewer replicas are ready than at the last evaluation.
fn has_lost_replicas(view: &View<'_>, core: &Core) -> bool {
    let (Some(done), Some(target)) = (core.done(), view.watched_target()) else { return false };
    view.context.pods_of(&target, view.key).ready() < done.progress.ready
}

/// The failover part of an observation, and the claims of other services on this one.
async fn failover_input<'a>(standbys: &'a mut KnownStandbys, look: Look<'a>) -> Part<'a> {
    let Look { view, core, .. } = look;
    let View { service, key, context, facts, .. } = view;
    let asked = move || context.shared.board.asked(key);
    let Some(failover) = service.spec.failover.as_ref() else {
        return Box::new(move |seen| seen.asked = asked());
    };
    let last_written = core.last_written().and_then(|status| status.failover.as_ref());
    let before = move |name: &str| last_written.and_then(|last_written| last_written.standby(name));
    let addresses = |name: &str| {
        before(name).map_or_else(Vec::new, |before| {
            before.addresses.iter().filter_map(|address| address.parse().ok()).collect()
        })
    };
    let shared = &context.shared;
    let consents = |spec: &Standby| consents(spec, key, &shared.services);
    let asked_for = Asked { consents: &consents, connect: facts.fleet.is_none() };
    let known = standbys.look(&failover.backends, addresses, &asked_for, key, &shared.client).await;
    Box::new(move |observation| {
        let standbys = failover.backends.iter().zip(known).map(|(spec, known)| {
            let ready = before(&spec.name).is_some_and(|before| before.ready);
            let mut seen = seen(spec, known, ready, view);
            // A refused route can't move requests either way, so a standby with requests keeps them.
            if before(&spec.name).is_none_or(|before| before.weight == Percent::ZERO) {
                seen.trouble = seen.trouble.or_else(|| facts.refusal.clone());
            }
            seen
        });
        let (standbys, manual_override) = (standbys.collect(), manual_override(service));
        let correlated_failures = shared.board.correlated_failures(key, shared.clock.now());
        observation.asked = asked();
        observation.failover = Some(FailoverInput {
            last_written: last_written.cloned(),
            standbys,
            manual_override,
            correlated_failures,
        });
    })
}

/// Whether the evaluation must not wait for a slow Prometheus: requests are being moved, or may have to be.
fn in_doubt(service: &ScalableService, target: &Target) -> bool {
    let last_written = service.status.as_ref().and_then(|status| status.failover.as_ref());
    last_written.is_some_and(|last_written| match last_written.state {
        FailoverState::Suspect | FailoverState::Shifting | FailoverState::Returning => true,
        _ => last_written.active == PRIMARY && target.ready < last_written.expected_replicas,
    })
}

fn seen(spec: &Standby, known: &KnownStandby, before: bool, view: &View<'_>) -> StandbySeen {
    let (key, fleet) = (view.key, view.facts.fleet.as_ref());
    let Others { board, services } = view.context.others();
    let behind = spec.service.as_ref().and_then(|to| behind(to, key, services));
    let behind = behind.filter(|_| consents(spec, key, services));
    let away = behind.as_ref().map(|(standby, _)| standby).filter(|standby| board.is_away(standby));
    let answers = match fleet {
        Some(fleet) => fleet.answering(&spec.name),
        None => known.answers(),
    };
    let trouble =
        match (&known.trouble, answers) {
            (Some(trouble), _) => Some(trouble.clone()),
            _ if away.is_some() => away.map(claims::circular),
            (None, Some(true)) => None,
            (None, Some(false)) => {
                let why = fleet.and_then(|fleet| fleet.why_not_answering(&spec.name));
                Some(why.map_or_else(
                    || "it does not answer".to_owned(),
                    |why| format!("it does not answer: {why}"),
                ))
            }
            // Without a probe result, the last state counts.
            (None, None) if before => None,
            (None, None) => Some("no balancer has probed it yet".to_owned()),
        };
    // A standby of unknown capacity gets no requests before it is needed.
    let unmeasured = Capacity { ready: 0, own: 0, most: i32::MAX };
    let measured = |standby: &ServiceKey| board.capacity_for(key, standby).unwrap_or(unmeasured);
    let capacity = behind.as_ref().map(|(standby, _)| measured(standby));
    StandbySeen { name: spec.name.clone(), addresses: known.addresses.clone(), trouble, capacity }
}
