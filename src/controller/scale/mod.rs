//! The replicas: the target's pods, and the write of its scale.

mod apply;

use futures::future::{BoxFuture, FutureExt as _, ready};

use super::{
    capability::{Capability, Effect, Look, Part, Phase, View},
    core::Core,
    outcome::{Outcome, Written},
    signals::Signals,
    subject,
};
use plimsoll_engine::Change;

/// Scales the target.
#[derive(Debug, Default)]
pub struct Scaling;

impl Capability for Scaling {
    fn signals(&self, view: &View<'_>, core: &Core, signals: &mut Signals) {
        let another = subject::is_another(view.service, view.key, core.last.as_ref(), view.context);
        signals.call_if(another, "the target or its scaler");
    }

    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        let part: Part<'a> = Box::new(move |seen| {
            let target = &look.subject.target;
            seen.replicas = target.replicas;
            seen.pods = look.view.context.pods_of(target, look.view.key);
        });
        ready(part).boxed()
    }

    fn effect(&mut self, phase: Phase, view: &View<'_>, core: &Core) -> Option<Effect> {
        let done = core.done().filter(|_| phase == Phase::Decision && view.seen.is_some())?;
        apply::writes(&done.decided.decision).then(|| Effect::new("write the scale"))
    }

    fn execute<'a>(&'a mut self, _: Phase, view: &'a View<'_>, core: &'a mut Core) -> BoxFuture<'a, ()> {
        write(view, core).boxed()
    }

    fn follow(&mut self, view: &View<'_>, core: &mut Core) {
        if view.seen.is_none() {
            refresh(view, core);
        }
    }
}

/// Updates the progress from the watches, in a turn without an observation.
fn refresh(view: &View<'_>, core: &mut Core) {
    let View { key, context, .. } = view;
    let Some(mut target) = view.watched_target() else { return };
    core.scale.correct(&mut target);
    let Some(done) = core.done_mut() else { return };
    let progress = &mut done.progress;
    progress.ready = context.pods_of(&target, key).ready();
    progress.now = target.replicas;
    if progress.written == Written::Changed {
        // The change has been reported.
        progress.written = Written::Nothing;
    }
    context.shared.board.ready(key, progress.ready);
}

async fn write(view: &View<'_>, core: &mut Core) {
    let Core { last, memory, scale, unanswered, .. } = core;
    let (Some(seen), Some(done)) = (&view.seen, last.as_mut().and_then(Outcome::done_mut)) else { return };
    let applied = apply::apply(view, seen, &done.decided.decision).await;
    let change = Change { at: done.decided.at, from: seen.replicas, to: done.decided.decision.replicas };
    if let Some(found) = applied.found {
        scale.note(found);
    }
    match &applied.written {
        Written::Changed => {
            memory.get_or_insert_default().changed(change);
            done.progress.now = change.to;
        }
        Written::Failed(_) => *unanswered = Some(change).filter(|change| change.from != change.to),
        Written::Nothing | Written::NotLeading | Written::Conflict(_) => {}
    }
    done.progress.written = applied.written;
}
