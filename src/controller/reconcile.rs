//! One turn for one service: signals, a look if one is due, effects, report. The capabilities do what is theirs in each step.

use std::{convert::Infallible, sync::Arc, time::Duration};

use kube::{Resource, core::DeserializeGuard, runtime::controller::Action};
use tokio::time::Instant;

use super::{
    capability::{Capability, Effect, Sight, Signals, View},
    context::Context,
    core::Core,
    ending::end,
    failover,
    key::ServiceKey,
    look::{look, schedule},
    outcome::{Outcome, Written},
    report,
    scale::{WRITE_TIMEOUT, pods},
    scope::Scope,
    state::{Owner, State},
};
use crate::{
    actuate::{add_finalizer, has_finalizer},
    lease::WriteError,
};
use plimsoll_api::ScalableService;
use plimsoll_engine::Pods;

/// Pause before the lease is checked again. A renewal just after the deadline begins no new term, so no event follows it.
const NOT_LEADING: Duration = Duration::from_secs(30);
/// Pause before the watches are asked again whether they have listed everything.
const UNLISTED: Duration = Duration::from_millis(100);

/// Looks at one service if it is due, and brings its status up to date in any case.
pub async fn reconcile(
    object: Arc<DeserializeGuard<ScalableService>>,
    scope: Arc<Scope>,
) -> Result<Action, Infallible> {
    let meta = object.meta();
    let key =
        ServiceKey::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    let context = &scope.context;
    let Some(term) = context.shell.leader.term() else {
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
            // The schema refuses such an object; one from before the schema waits until somebody mends it.
            let (namespace, name) = (&key.namespace, &key.name);
            tracing::warn!(namespace, name, "the object is not understood: {}", invalid.error);
            // What the last look found would stay in the metrics as if it were still true.
            scope.leave(&key);
            return Ok(Action::await_change());
        }
    };
    if !(context.shell.health.is_ready() && context.shell.services.listed()) {
        // What is not listed yet would be taken for gone: the pods of a service that serves, the scaler that was first.
        return Ok(Action::requeue(UNLISTED));
    }
    let owner = Owner { uid: meta.uid.clone(), term };
    if scope.states.disown(&key, &owner) {
        scope.leave(&key);
    }
    failover::begin(context);
    let state = scope.states.of(&key, owner, Duration::from(service.spec.period));
    let mut state = state.lock().await;
    Ok(Action::requeue(turn(service, &key, &mut state, context).await))
}

/// One turn; when the next one is due.
async fn turn(service: &ScalableService, key: &ServiceKey, state: &mut State, context: &Context) -> Duration {
    let State { core, capabilities } = state;
    if core.written.is_none() {
        core.written = Some((Arc::new(report::own_status(service)), None));
    }
    let sight = Sight::default();
    let mut view = View { service, key, context, sight, subject: None, seen: None };
    see(capabilities, &mut view, core);
    let signals = signals(capabilities, &view, core);
    let cause = signals.cause(&core.signals);
    core.signals = signals;
    if let Some(cause) = cause {
        tracing::debug!(namespace = key.namespace, name = key.name, cause, "looked at before it is due");
    }
    if cause.is_some() || Instant::now() >= core.due {
        core.generation = service.metadata.generation;
        look(&mut view, core, capabilities).await;
    } else {
        refresh(&view, core);
    }
    for capability in capabilities.iter_mut() {
        for effect in capability.effects(&view, core) {
            match persisted(&effect, &view).await {
                Ok(()) => capability.execute(&effect, &view, core).await,
                Err(why) => capability.stopped(&effect, &why),
            }
        }
    }
    schedule(core, &view);
    see(capabilities, &mut view, core);
    capabilities.iter_mut().for_each(|capability| capability.follow(&view, core));
    let again = report::report(&view, core, capabilities).await;
    let due = core.due.saturating_duration_since(Instant::now());
    let own = capabilities.iter().filter_map(|capability| capability.next_turn());
    own.chain(again).fold(due, Duration::min)
}

/// Persists what has to be known before an effect is carried out: that its deletion has to put something back.
async fn persisted(effect: &Effect, view: &View<'_>) -> Result<(), WriteError> {
    let meta = &view.service.metadata;
    if !effect.is_restored || has_finalizer(meta) {
        return Ok(());
    }
    let shell = &view.context.shell;
    add_finalizer(&shell.client, meta, &shell.leader.permit(WRITE_TIMEOUT)).await
}

fn see(capabilities: &[Box<dyn Capability>], view: &mut View<'_>, core: &Core) {
    let mut sight = Sight::default();
    capabilities.iter().for_each(|capability| capability.sight(view, core, &mut sight));
    view.sight = sight;
}

/// What calls for a look before it is due.
fn signals(capabilities: &[Box<dyn Capability>], view: &View<'_>, core: &Core) -> Signals {
    let mut signals = Signals::default();
    let generation = view.service.metadata.generation.unwrap_or_default();
    signals.note_if(core.generation.is_some(), "the spec", generation.to_string());
    capabilities.iter().for_each(|capability| capability.signals(view, core, &mut signals));
    signals
}

/// Between two looks: what the watches know by now of replicas and pods.
fn refresh(view: &View<'_>, core: &mut Core) {
    let View { service, key, context, .. } = view;
    let found = context.targets.watched(&key.namespace, &service.spec.scale_target_ref);
    let (Some(done), Some(mut target)) = (core.last.as_mut().and_then(Outcome::done_mut), found) else {
        return;
    };
    core.scale.correct(&mut target);
    let pods = pods(&target, key, context);
    let progress = &mut done.progress;
    progress.ready = pods.ready();
    // Of a StatefulSet one comes back under its name, and that is another one.
    if let Pods::Listed(there) = &pods {
        progress.leaving.retain(|name, _| !there.iter().any(|pod| pod.name == *name));
    }
    if progress.written == Written::Changed {
        // The change has been reported; from here on it is how things are.
        progress.written = Written::Nothing;
    }
    progress.now = target.replicas;
    context.shell.board.ready(key, progress.ready);
}
