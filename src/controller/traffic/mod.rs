//! The balancers of a service: their objects, what they report, and which replicas they serve or leave alone.

mod arrivals;
mod leaving;
pub mod marks;
mod objects;

use futures::future::{BoxFuture, FutureExt as _, ready};

use self::{leaving::Leaving, objects::KnownObjects};
use super::{
    capability::{Capability, Effect, Look, Part, Sight, Signals, View},
    core::Core,
    fleet::Fleet,
    index::{Target, read},
    outcome::Outcome,
    scale::WRITE_TIMEOUT,
};
use crate::{actuate, lease::WriteError};
use plimsoll_api::{RecoveryStatus, Traffic, Verdict};
use plimsoll_engine::Rotation;
use tokio::time::Instant;

/// The effect on the balancers' objects.
const OBJECTS: &str = "reconcile the load balancer";
/// The effect on the status of balancers that are gone.
const FORGET: &str = "remove the status of departed balancers";

/// Runs the balancers, and follows what they report.
#[derive(Debug, Default)]
pub struct Balancing {
    objects: KnownObjects,
    leaving: Leaving,
}

impl Capability for Balancing {
    fn sight(&self, view: &View<'_>, _: &Core, sight: &mut Sight) {
        let Some(traffic) = view.service.spec.balanced() else { return };
        let (key, context) = (view.key, view.context);
        let scaled = || objects::front(key, context).map(|front| front.replicas);
        let wanted = traffic.replicas.or_else(scaled).unwrap_or(Traffic::REPLICAS);
        let trouble = self.objects.trouble.clone();
        let fleet = Fleet::new(wanted, view.balancers(), view.service.status.as_ref(), trouble);
        let fleet = Fleet { pending: self.objects.pending, ..fleet };
        sight.traffic = Some(fleet.verdict(view.service.metadata.generation));
        sight.fleet = Some(fleet);
    }

    fn signals(&self, view: &View<'_>, core: &Core, signals: &mut Signals) {
        let Some(fleet) = &view.sight.fleet else { return };
        let done = core.last.as_ref().and_then(Outcome::done);
        let nobody = done.is_none_or(|done| done.progress.ready == 0);
        let held = fleet.held();
        let value = if held == 0 { String::new() } else { held.to_string() };
        let drains = core.told().is_some_and(|status| {
            status.traffic.as_ref().is_some_and(|traffic| !traffic.draining.is_empty())
                || status.recovery.as_ref().is_some_and(|recovery| !recovery.ejected.is_empty())
        });
        signals.note_if(drains || (held > 0 && nobody), "requests held", value);
        signals.note_if(drains, "drained replicas", format!("{:?}", fleet.drained_all()));
    }

    fn hurries(&self, look: &Look<'_>) -> bool {
        let held = look.view.sight.fleet.as_ref().map_or(0, Fleet::held);
        look.subject.target.ready == 0 && held > 0
    }

    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part> {
        let held = look.view.sight.fleet.as_ref().map_or(0, Fleet::held);
        let rotation = rotation(look.view, &look.subject.target, look.core);
        let part: Part = Box::new(move |seen| (seen.held, seen.rotation) = (held, rotation));
        ready(part).boxed()
    }

    fn decided(&mut self, view: &View<'_>, core: &mut Core) {
        let Some(seen) = &view.seen else { return };
        let rotation = seen.rotation.as_ref();
        if core.last.as_ref().and_then(Outcome::done).is_some() {
            let leaving = self.leaving.now(rotation, core.told(), Instant::now());
            if let Some(done) = core.last.as_mut().and_then(Outcome::done_mut) {
                done.progress.leaving = leaving;
            }
        }
    }

    fn effects(&mut self, view: &View<'_>, core: &Core) -> Vec<Effect> {
        let done = core.last.as_ref().is_some_and(|outcome| outcome.done().is_some());
        let subject = view.subject.as_ref();
        let objects = subject.filter(|subject| done || subject.target.selector.is_some());
        let objects = objects.map(|_| Effect::new(OBJECTS));
        let forget = (!self.departed(view).is_empty()).then(|| Effect::new(FORGET));
        objects.into_iter().chain(forget).collect()
    }

    fn execute<'a>(
        &'a mut self,
        effect: &'a Effect,
        view: &'a View<'_>,
        _: &'a mut Core,
    ) -> BoxFuture<'a, ()> {
        async move {
            match (&view.subject, effect.name) {
                (Some(subject), OBJECTS) => {
                    objects::reconcile(view, &subject.target, &mut self.objects).await;
                }
                _ => self.forget_departed(view).await,
            }
        }
        .boxed()
    }

    fn follow(&mut self, view: &View<'_>, core: &mut Core) {
        let arrived = arrivals::arrived(view, core).unwrap_or_default();
        let balancers = view.sight.fleet.as_ref().and_then(|fleet| i32::try_from(fleet.ready()).ok());
        if let Some(done) = core.last.as_mut().and_then(Outcome::done_mut) {
            (done.progress.arrived, done.progress.balancers) = (arrived, balancers);
        }
    }

    fn conditions(&self, sight: &Sight, _: &Outcome) -> Vec<Verdict> {
        sight.fleet.as_ref().and_then(Fleet::headroom).into_iter().collect()
    }
}

impl Balancing {
    /// Balancers that are gone and still have an entry in the status.
    fn departed(&self, view: &View<'_>) -> Vec<String> {
        let wanted =
            view.service.spec.balanced().map(|traffic| traffic.replicas.unwrap_or(Traffic::REPLICAS));
        let fleet = Fleet::new(wanted.unwrap_or(0), view.balancers(), None, None);
        fleet.stale(view.service.status.as_ref())
    }

    async fn forget_departed(&self, view: &View<'_>) {
        let (shell, namespace, name) = (&view.context.shell, &view.key.namespace, &view.key.name);
        for pod in self.departed(view) {
            let permit = shell.leader.permit(WRITE_TIMEOUT);
            let forgotten = actuate::forget_balancer(&shell.client, namespace, name, &pod, &permit).await;
            if let Err(error @ WriteError::Api(_)) = forgotten {
                tracing::debug!(namespace, name, pod, error = error.said(), "an entry of status stays");
            }
        }
    }
}

/// The replicas as the balancers have them; `None` without balancers, or if the target's pods can't be listed.
fn rotation(view: &View<'_>, target: &Target, core: &Core) -> Option<Rotation> {
    let View { service, key, context, sight, .. } = view;
    context.shell.balancers.as_ref()?;
    let (fleet, selected) = (sight.fleet.as_ref()?, target.selected()?);
    let mut members = read(&context.pods, |index| index.members(&key.namespace, selected));
    read(&context.nodes, |nodes| {
        for member in &mut members {
            member.zone = member.zone.take().or_else(|| nodes.zone_of(member.node.as_deref()));
        }
    });
    let told = core.told();
    let draining =
        told.and_then(|status| status.traffic.as_ref()).into_iter().flat_map(|traffic| &traffic.draining);
    let draining = draining.map(|draining| (draining.pod.clone(), draining.since.0)).collect();
    let recovery = told.and_then(|status| status.recovery.as_ref());
    let ejected = recovery.map(RecoveryStatus::ejected_pods).unwrap_or_default();
    let ordered = service.spec.scale_target_ref.kind == "StatefulSet";
    Some(fleet.rotation(ordered, members, target.ready, draining, ejected))
}
