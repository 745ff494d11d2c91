//! Replicas that stand out from their peers: what is asked about them, and the eviction of one.

mod report;

use futures::future::{BoxFuture, FutureExt as _};
use tokio::time::timeout;

use super::{
    capability::{Capability, Effect, Look, Part, Reported, Sight, View},
    core::Core,
    index::read,
    outcome::Outcome,
    scale::WRITE_TIMEOUT,
};
use crate::{actuate::Note, telemetry::WriteResult};
use plimsoll_api::{KpiState, Verdict};
use plimsoll_engine::{Peers, Sample};

/// Asks for the replicas side by side, and evicts the one that is to be replaced.
#[derive(Debug, Default)]
pub struct Recovering {
    /// The replica that is to be evicted.
    evict: Option<String>,
}

impl Capability for Recovering {
    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part> {
        async move {
            let peers = peers(look).await;
            let part: Part = Box::new(move |seen| seen.peers = peers);
            part
        }
        .boxed()
    }

    fn effects(&mut self, view: &View<'_>, core: &Core) -> Vec<Effect> {
        self.evict = due(core).filter(|_| view.seen.is_some());
        self.evict.iter().map(|_| Effect::new("evict")).collect()
    }

    fn execute<'a>(&'a mut self, _: &'a Effect, view: &'a View<'_>, core: &'a mut Core) -> BoxFuture<'a, ()> {
        async move {
            if let Some(pod) = self.evict.take() {
                evict(&pod, view, core).await;
            }
        }
        .boxed()
    }

    fn conditions(&self, _: &Sight, outcome: &Outcome) -> Vec<Verdict> {
        let recovery = outcome.done().and_then(|done| done.progress.recovery.as_ref());
        recovery.map(report::verdict).into_iter().collect()
    }

    fn notes(&self, change: &Reported<'_>) -> Vec<Note> {
        report::notes(change.old, change.new, change.outcome)
    }
}

/// The replicas side by side; `None` without `spec.recovery`, or if the target's pods can't be listed.
async fn peers(look: Look<'_>) -> Option<Peers> {
    let Look { view, core, subject, age, patience } = look;
    let (rules, selected) = (subject.spec.outliers.as_ref()?, subject.target.selected()?);
    let (key, context) = (view.key, view.context);
    let asker = view.asker();
    let ask = context.shell.kpis.ask_by_pod(&asker, rules, age);
    let late = |_| Sample::unusable(KpiState::Error, "not waited for, since requests wait for a replica");
    let sample = timeout(patience, ask).await.unwrap_or_else(late);
    let members = read(&context.pods, |index| index.members(&key.namespace, selected));
    let told = core.told().and_then(|status| status.recovery.clone()).unwrap_or_default();
    Some(Peers { sample, members, told })
}

/// The replica to evict, unless a scale-down takes it anyway.
fn due(core: &Core) -> Option<String> {
    let done = core.last.as_ref()?.done()?;
    let pod = done.progress.recovery.as_ref()?.evict.clone()?;
    let drain = done.decided.decision.drain.as_ref();
    (!drain.is_some_and(|drain| drain.draining.contains_key(&pod))).then_some(pod)
}

/// Evicts a replica, and notes what came of it.
async fn evict(pod: &str, view: &View<'_>, core: &mut Core) {
    let Core { last, memory, .. } = core;
    let done = last.as_mut().and_then(Outcome::done_mut);
    let Some(recovery) = done.and_then(|done| done.progress.recovery.as_mut()) else { return };
    let since = recovery.status.ejected.iter().find(|ejected| ejected.pod == *pod).map(|out| out.since.0);
    let (Some(since), Some(memory)) = (since, memory.as_mut()) else { return };
    let (shell, namespace, name) = (&view.context.shell, &view.key.namespace, &view.key.name);
    let permit = shell.leader.permit(WRITE_TIMEOUT);
    let (result, error) = match shell.evictor.evict(namespace, pod, since, &permit).await {
        Ok(()) => (WriteResult::Ok, String::new()),
        Err(error) => match error.result() {
            Some(result) => (result, error.said()),
            // The new leader decides anew.
            None => return,
        },
    };
    shell.metrics.evicted(result);
    let now = shell.clock.now();
    if result == WriteResult::Ok {
        tracing::info!(namespace, name, pod, "a replica that stood out was evicted");
        return recovery.evicted(memory, pod, now);
    }
    tracing::warn!(namespace, name, pod, error, "a replica that stands out was not evicted");
    recovery.not_evicted(memory, pod, result == WriteResult::TooManyRequests, &error, now);
}
