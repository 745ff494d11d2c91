//! Outliers: the query for a comparison of the replicas, and the eviction of one.

mod report;

use futures::future::{BoxFuture, FutureExt as _};
use tokio::time::timeout;

use super::{
    capability::{Capability, Effect, Look, Part, Phase, Reported, SharedFacts, View},
    core::Core,
    index::read,
    outcome::Outcome,
};
use crate::{
    actuate::{Note, WRITE_TIMEOUT},
    telemetry::WriteResult,
};
use plimsoll_api::{KpiState, Verdict};
use plimsoll_engine::{Peers, Sample};

/// Queries the KPI by replica, and evicts outliers.
#[derive(Debug, Default)]
pub struct Recovering {
    /// The replica to evict in this turn.
    evict: Option<String>,
}

impl Capability for Recovering {
    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        peers(look).boxed()
    }

    fn effect(&mut self, phase: Phase, view: &View<'_>, core: &Core) -> Option<Effect> {
        self.evict = if phase == Phase::Decision && view.seen.is_some() { due(core) } else { None };
        self.evict.as_ref().map(|_| Effect::new("evict an outlier"))
    }

    fn execute<'a>(&'a mut self, _: Phase, view: &'a View<'_>, core: &'a mut Core) -> BoxFuture<'a, ()> {
        async move {
            if let Some(pod) = self.evict.take() {
                evict(&pod, view, core).await;
            }
        }
        .boxed()
    }

    fn conditions(&self, _: &SharedFacts, outcome: &Outcome) -> Vec<Verdict> {
        let recovery = outcome.done().and_then(|done| done.progress.recovery.as_ref());
        recovery.map(report::verdict).into_iter().collect()
    }

    fn notes(&self, change: &Reported<'_>) -> Vec<Note> {
        report::notes(change.old, change.new, change.outcome)
    }
}

/// Observes the KPI by replica; nothing without `spec.recovery`, or if the target's pods can't be listed.
async fn peers(look: Look<'_>) -> Part<'_> {
    let Look { view, core, subject, age, patience } = look;
    let (Some(rules), Some(selected)) = (subject.spec.outliers.as_ref(), subject.target.selected()) else {
        return Box::new(|_| {});
    };
    let asker = view.asker();
    let ask = view.context.shared.kpis.ask_by_pod(&asker, rules, age);
    let late = |_| Sample::unusable(KpiState::Error, "query cut short, since requests wait for a replica");
    let sample = timeout(patience, ask).await.unwrap_or_else(late);
    Box::new(move |seen| {
        let members = read(&view.context.pods, |index| index.members(&view.key.namespace, selected));
        let last_written = core.last_written().and_then(|status| status.recovery.clone()).unwrap_or_default();
        seen.peers = Some(Peers { sample, members, last_written });
    })
}

/// The replica to evict, unless a scale-down removes it anyway.
fn due(core: &Core) -> Option<String> {
    let done = core.done()?;
    let pod = done.progress.recovery.as_ref()?.evict.clone()?;
    let drain = done.decided.decision.drain.as_ref();
    (!drain.is_some_and(|drain| drain.draining.contains_key(&pod))).then_some(pod)
}

/// Evicts a replica, and records the result.
async fn evict(pod: &str, view: &View<'_>, core: &mut Core) {
    let Core { last, memory, .. } = core;
    let done = last.as_mut().and_then(Outcome::done_mut);
    let Some(recovery) = done.and_then(|done| done.progress.recovery.as_mut()) else { return };
    let since = recovery.status.ejected.iter().find(|ejected| ejected.pod == *pod).map(|out| out.since.0);
    let (Some(since), Some(memory)) = (since, memory.as_mut()) else { return };
    let (shared, namespace, name) = (&view.context.shared, &view.key.namespace, &view.key.name);
    let permit = shared.leader.permit(WRITE_TIMEOUT);
    let (result, error) = match shared.evictor.evict(namespace, pod, since, &permit).await {
        Ok(()) => (WriteResult::Ok, String::new()),
        Err(error) => match error.result() {
            Some(result) => (result, error.message()),
            // The new leader decides again.
            None => return,
        },
    };
    shared.metrics.evicted(result);
    let now = shared.clock.now();
    if result == WriteResult::Ok {
        tracing::info!(namespace, name, pod, "evicted an outlier");
        return recovery.evicted(memory, pod, now);
    }
    tracing::warn!(namespace, name, pod, error, "failed to evict an outlier");
    recovery.not_evicted(memory, pod, result == WriteResult::TooManyRequests, &error, now);
}
