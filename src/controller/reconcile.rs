//! One turn of a service: signals, an evaluation if one is due, effects, report. Each step calls all capabilities.

use std::{convert::Infallible, sync::Arc, time::Duration};

use kube::{Resource, core::DeserializeGuard, runtime::controller::Action};
use tokio::time::Instant;

use super::{
    capability::{Capability, Effect, Phase, SharedFacts, View},
    context::Context,
    core::Core,
    ending::end,
    key::ServiceKey,
    look::{look, schedule},
    report,
    scope::Scope,
    signals::Signals,
    state::{Owner, State},
};
use crate::{
    actuate::{WRITE_TIMEOUT, add_finalizer, has_finalizer},
    lease::WriteError,
};
use plimsoll_api::ScalableService;

/// Pause before the lease is checked again. A renewal just after the deadline starts no new term, so it triggers no turn.
const NOT_LEADING: Duration = Duration::from_secs(30);
/// Pause before checking again whether all watches have completed their initial list.
const UNLISTED: Duration = Duration::from_millis(100);

/// Evaluates one service if it is due, and updates its status in any case.
pub async fn reconcile(
    object: Arc<DeserializeGuard<ScalableService>>,
    scope: Arc<Scope>,
) -> Result<Action, Infallible> {
    let meta = object.meta();
    let key = ServiceKey::of_meta(meta);
    let context = &scope.context;
    let Some(term) = context.shared.leader.term() else {
        scope.leave(&key);
        return Ok(Action::requeue(NOT_LEADING));
    };
    if meta.deletion_timestamp.is_some() {
        scope.forget(&key);
        return Ok(end(meta, &key, context).await);
    }
    let service = match &object.0 {
        Ok(service) => service,
        Err(invalid) => {
            // The schema rejects such an object; one that is older than the schema is ignored until it is fixed.
            let (namespace, name) = (&key.namespace, &key.name);
            tracing::warn!(namespace, name, "the ScalableService can't be parsed: {}", invalid.error);
            // Otherwise the metrics would keep showing the last evaluation.
            scope.leave(&key);
            return Ok(Action::await_change());
        }
    };
    if !(context.shared.health.is_ready() && context.shared.services.listed()) {
        // Before the initial list, existing objects look deleted: the pods of a serving service, or an older scaler.
        return Ok(Action::requeue(UNLISTED));
    }
    let owner = Owner { uid: meta.uid.clone(), term };
    if scope.states.disown(&key, &owner) {
        scope.leave(&key);
    }
    let state = scope.states.of(&key, owner, Duration::from(service.spec.period));
    let mut state = state.lock().await;
    Ok(Action::requeue(turn(service, &key, &mut state, context).await))
}

/// Runs one turn. Returns the time until the next one.
async fn turn(service: &ScalableService, key: &ServiceKey, state: &mut State, context: &Context) -> Duration {
    let State { core, capabilities } = state;
    if core.written.is_none() {
        core.written = Some((Arc::new(report::own_status(service)), None));
    }
    let facts = SharedFacts::default();
    let mut view = View { service, key, context, facts, subject: None, seen: None };
    see(&mut view, capabilities);
    let signals = signals(&view, core, capabilities);
    let cause = signals.cause(&core.signals);
    core.signals = signals;
    if let Some(cause) = cause {
        tracing::debug!(namespace = key.namespace, name = key.name, cause, "evaluated before it is due");
    }
    if cause.is_some() || Instant::now() >= core.due {
        look(&mut view, core, capabilities).await;
        carry_out(Phase::Decision, &view, core, capabilities).await;
        schedule(&view, core);
    }
    carry_out(Phase::Upkeep, &view, core, capabilities).await;
    see(&mut view, capabilities);
    capabilities.iter_mut().for_each(|capability| capability.follow(&view, core));
    let again = report::report(&view, core, capabilities).await;
    carry_out(Phase::Cleanup, &view, core, capabilities).await;
    let due = core.due.saturating_duration_since(Instant::now());
    let own = capabilities.iter().filter_map(|capability| capability.next_turn());
    own.chain(again).fold(due, Duration::min)
}

/// Carries out the effects of a phase one after the other: each sees the writes of those before it.
async fn carry_out(phase: Phase, view: &View<'_>, core: &mut Core, capabilities: &mut [Box<dyn Capability>]) {
    for capability in capabilities {
        let Some(effect) = capability.effect(phase, view, core) else { continue };
        tracing::trace!(namespace = view.key.namespace, name = view.key.name, effect = effect.name);
        match persisted(&effect, view).await {
            Ok(()) => capability.execute(phase, view, core).await,
            Err(why) => capability.stopped(&effect, &why),
        }
    }
}

/// Adds the finalizer before an effect that has to be undone when the service is deleted.
async fn persisted(effect: &Effect, view: &View<'_>) -> Result<(), WriteError> {
    let meta = &view.service.metadata;
    if !effect.is_restored || has_finalizer(meta) {
        return Ok(());
    }
    let shared = &view.context.shared;
    add_finalizer(&shared.client, meta, &shared.leader.permit(WRITE_TIMEOUT)).await
}

/// Collects the facts that several capabilities need.
fn see(view: &mut View<'_>, capabilities: &[Box<dyn Capability>]) {
    let mut facts = SharedFacts::default();
    capabilities.iter().for_each(|capability| capability.facts(view, &mut facts));
    view.facts = facts;
}

/// Collects the signals that may trigger an evaluation before it is due.
fn signals(view: &View<'_>, core: &Core, capabilities: &[Box<dyn Capability>]) -> Signals {
    let mut signals = Signals::default();
    signals.note_if(core.last.is_some(), "the spec", view.service.metadata.generation);
    capabilities.iter().for_each(|capability| capability.signals(view, core, &mut signals));
    signals
}
