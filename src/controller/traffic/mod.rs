//! The balancers of a service: their objects, their reports, and the replicas in and out of rotation.

mod arrivals;
mod leaving;
pub mod marks;
mod objects;

use std::collections::BTreeMap;

use futures::future::{BoxFuture, FutureExt as _, ready};
use jiff::Timestamp;
use tokio::time::Instant;

use self::{leaving::Leaving, objects::KnownObjects};
use super::{
    capability::{Capability, Effect, Look, Part, Phase, SharedFacts, View},
    core::Core,
    fleet::Fleet,
    index::{Target, read},
    outcome::Outcome,
    signals::Signals,
};
use crate::{
    actuate::{self, WRITE_TIMEOUT},
    lease::WriteError,
};
use plimsoll_api::{RecoveryStatus, Traffic, Verdict};
use plimsoll_engine::{Pods, Rotation};

/// Runs the balancers and evaluates their reports.
#[derive(Debug, Default)]
pub struct Balancing {
    objects: KnownObjects,
    leaving: Leaving,
    /// Deleted balancers that still have an entry in the status.
    departed: Vec<String>,
}

impl Capability for Balancing {
    fn facts(&self, view: &View<'_>, facts: &mut SharedFacts) {
        let Some(traffic) = view.service.spec.balanced() else { return };
        let (key, context) = (view.key, view.context);
        let scaled = || objects::front(key, context).map(|front| front.replicas);
        let wanted = traffic.replicas.or_else(scaled).unwrap_or(Traffic::REPLICAS);
        let trouble = self.objects.trouble.clone();
        let fleet = Fleet::new(wanted, view.balancers(), view.service.status.as_ref(), trouble);
        facts.fleet = Some(Fleet { pending: self.objects.pending, ..fleet });
    }

    fn signals(&self, view: &View<'_>, core: &Core, signals: &mut Signals) {
        let Some(fleet) = &view.facts.fleet else { return };
        let none_ready = core.done().is_none_or(|done| done.progress.ready == 0);
        let held = fleet.held();
        let drains = core.last_written().is_some_and(|status| {
            status.traffic.as_ref().is_some_and(|traffic| !traffic.draining.is_empty())
                || status.recovery.as_ref().is_some_and(|recovery| !recovery.ejected.is_empty())
        });
        let relevant = drains || (held > 0 && none_ready);
        signals.note_if(relevant, "held requests", Some(held).filter(|held| *held > 0));
        signals.note_if(drains, "drained replicas", Some(fleet.drained_all()));
    }

    fn hurries(&self, look: &Look<'_>) -> bool {
        look.subject.target.ready == 0 && look.view.facts.fleet.as_ref().is_some_and(|fleet| fleet.held() > 0)
    }

    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        let part: Part<'a> = Box::new(move |seen| {
            seen.held = look.view.facts.fleet.as_ref().map_or(0, Fleet::held);
            seen.rotation = rotation(look.view, &look.subject.target, look.core);
        });
        ready(part).boxed()
    }

    fn decided(&mut self, view: &View<'_>, core: &mut Core) {
        let (Some(seen), Some(_)) = (&view.seen, core.done()) else { return };
        let leaving = self.leaving.now(seen.rotation.as_ref(), core.last_written(), Instant::now());
        if let Some(done) = core.done_mut() {
            done.progress.leaving = leaving;
        }
    }

    fn effect(&mut self, phase: Phase, view: &View<'_>, core: &Core) -> Option<Effect> {
        match phase {
            Phase::Decision => None,
            Phase::Upkeep => {
                let target = &view.subject.as_ref()?.target;
                let due = core.done().is_some() || target.selector.is_some();
                due.then(|| Effect::new("reconcile the load balancer"))
            }
            Phase::Cleanup => {
                self.departed = departed(view);
                (!self.departed.is_empty()).then(|| Effect::new("remove the status of departed balancers"))
            }
        }
    }

    fn execute<'a>(&'a mut self, phase: Phase, view: &'a View<'_>, _: &'a mut Core) -> BoxFuture<'a, ()> {
        async move {
            match (phase, &view.subject) {
                (Phase::Decision, _) | (Phase::Upkeep, None) => {}
                (Phase::Upkeep, Some(subject)) => {
                    objects::reconcile(view, &subject.target, &mut self.objects).await;
                }
                (Phase::Cleanup, _) => forget(std::mem::take(&mut self.departed), view).await,
            }
        }
        .boxed()
    }

    fn follow(&mut self, view: &View<'_>, core: &mut Core) {
        let arrived = arrivals::arrived(view, core).unwrap_or_default();
        let balancers = view.facts.fleet.as_ref().and_then(|fleet| i32::try_from(fleet.ready()).ok());
        let Some(done) = core.done_mut() else { return };
        (done.progress.arrived, done.progress.balancers) = (arrived, balancers);
        if view.seen.is_none() {
            stay(&mut done.progress.leaving, view);
        }
    }

    fn synced(&self, view: &View<'_>) -> Option<Verdict> {
        Some(view.facts.fleet.as_ref()?.verdict(view.service.metadata.generation))
    }

    fn conditions(&self, facts: &SharedFacts, _: &Outcome) -> Vec<Verdict> {
        facts.fleet.as_ref().and_then(Fleet::headroom).into_iter().collect()
    }
}

/// Removes replicas that exist again from the departed ones: a new pod of a StatefulSet has the name of the old one.
fn stay(leaving: &mut BTreeMap<String, Timestamp>, view: &View<'_>) {
    if leaving.is_empty() {
        return;
    }
    let Some(target) = view.watched_target() else { return };
    if let Pods::Listed(there) = view.context.pods_of(&target, view.key) {
        leaving.retain(|name, _| !there.iter().any(|pod| pod.name == *name));
    }
}

/// Deleted balancers that still have an entry in the status.
fn departed(view: &View<'_>) -> Vec<String> {
    let traffic = view.service.spec.balanced();
    let wanted = traffic.map_or(0, |traffic| traffic.replicas.unwrap_or(Traffic::REPLICAS));
    Fleet::new(wanted, view.balancers(), None, None).stale(view.service.status.as_ref())
}

/// Removes the entries of balancers from the status.
async fn forget(departed: Vec<String>, view: &View<'_>) {
    let (shared, namespace, name) = (&view.context.shared, &view.key.namespace, &view.key.name);
    for pod in departed {
        let permit = shared.leader.permit(WRITE_TIMEOUT);
        let forgotten = actuate::forget_balancer(&shared.client, namespace, name, &pod, &permit).await;
        if let Err(error @ WriteError::Api(_)) = forgotten {
            let error = error.message();
            tracing::debug!(namespace, name, pod, error, "failed to remove the status of a balancer");
        }
    }
}

/// The replicas in rotation, from the watches and the last written status; `None` without balancers, or if the target's pods
/// can't be listed.
fn rotation(view: &View<'_>, target: &Target, core: &Core) -> Option<Rotation> {
    let View { service, key, context, facts, .. } = view;
    context.shared.balancers.as_ref()?;
    let (fleet, selected) = (facts.fleet.as_ref()?, target.selected()?);
    let mut members = read(&context.pods, |index| index.members(&key.namespace, selected));
    read(&context.nodes, |nodes| {
        for member in &mut members {
            member.zone = member.zone.take().or_else(|| nodes.zone_of(member.node.as_deref()));
        }
    });
    let last_written = core.last_written();
    let draining = last_written
        .and_then(|status| status.traffic.as_ref())
        .into_iter()
        .flat_map(|traffic| &traffic.draining);
    let draining = draining.map(|draining| (draining.pod.clone(), draining.since.0)).collect();
    let recovery = last_written.and_then(|status| status.recovery.as_ref());
    let ejected = recovery.map(RecoveryStatus::ejected_pods).unwrap_or_default();
    let ordered = service.spec.scale_target_ref.kind == "StatefulSet";
    Some(fleet.rotation(ordered, members, target.ready, draining, ejected))
}
