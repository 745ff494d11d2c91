//! The replicas: which pods there are, and the scale that is written.

mod apply;
mod known;
mod subject;

use futures::future::{BoxFuture, FutureExt as _, ready};

use super::{
    capability::{Capability, Effect, Look, Part, Signals, View},
    context::Context,
    core::Core,
    index::{Target, read},
    key::ServiceKey,
    outcome::{Outcome, Written},
};
use plimsoll_engine::{Change, Pods};

pub use apply::WRITE_TIMEOUT;
pub use known::KnownScale;
pub use subject::{Refused, Subject, dereference};

/// Scales the target.
#[derive(Debug, Default)]
pub struct Scaling;

impl Capability for Scaling {
    fn signals(&self, view: &View<'_>, core: &Core, signals: &mut Signals) {
        let whose = subject::whose(view.service, view.key, view.context);
        signals.note_if(core.last.is_some(), "the target", whose);
    }

    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part> {
        let target = &look.subject.target;
        let (replicas, pods) = (target.replicas, pods(target, look.view.key, look.view.context));
        let part: Part = Box::new(move |seen| (seen.replicas, seen.pods) = (replicas, pods));
        ready(part).boxed()
    }

    fn effects(&mut self, view: &View<'_>, core: &Core) -> Vec<Effect> {
        let done = core.last.as_ref().and_then(Outcome::done).filter(|_| view.seen.is_some());
        let decision = done.map(|done| &done.decided.decision);
        let due = decision.is_some_and(apply::writes);
        due.then(|| Effect::new("scale")).into_iter().collect()
    }

    fn execute<'a>(&'a mut self, _: &'a Effect, view: &'a View<'_>, core: &'a mut Core) -> BoxFuture<'a, ()> {
        write(view, core).boxed()
    }
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

/// The target's pods, as the watches know them.
pub fn pods(target: &Target, key: &ServiceKey, context: &Context) -> Pods {
    match target.selected() {
        Some(selected) => Pods::Listed(read(&context.pods, |index| {
            index.select(&key.namespace, selected, target.revision.as_ref())
        })),
        None => Pods::Counted { ready: target.ready },
    }
}
