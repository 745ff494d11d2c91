//! Replicas that stand out, from the shell's side: what is asked about them, and the eviction of one.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    apply::WRITE_TIMEOUT,
    context::Context,
    index::{Target, read},
    state::{Key, State},
};
use crate::{kpi::Asker, telemetry::WriteResult};
use plimsoll_api::{KpiState, OutlierRules};
use plimsoll_engine::{Decision, Memory, Peers, Recovery, Sample};

/// The replicas side by side, by an answer that is at most `age` old and comes within `patience`; `None` without
/// `spec.recovery`, or if the target's pods can't be listed.
pub async fn peers(
    asker: &Asker,
    rules: Option<&OutlierRules>,
    target: &Target,
    key: &Key,
    state: &State,
    (age, patience): (Duration, Duration),
    context: &Context,
) -> Option<Peers> {
    let (rules, selected) = (rules?, target.selected()?);
    let ask = context.shell.kpis.ask_by_pod(asker, rules, age);
    let late = |_| Sample::unusable(KpiState::Error, "not waited for, since requests wait for a replica");
    let sample = timeout(patience, ask).await.unwrap_or_else(late);
    let members = read(&context.pods, |index| index.members(&key.0, selected));
    let told = state.told().and_then(|status| status.recovery.clone()).unwrap_or_default();
    Some(Peers { sample, members, told })
}

/// Evicts the replica that is to be replaced, unless a scale-down takes it anyway, and notes what came of it.
pub async fn replace(
    recovery: &mut Recovery,
    decision: &Decision,
    memory: &mut Memory,
    key: &Key,
    context: &Context,
) {
    let Some(pod) = recovery.evict.take() else { return };
    let goes = decision.drain.as_ref().is_some_and(|drain| drain.draining.contains_key(&pod));
    let since = recovery.status.ejected.iter().find(|ejected| ejected.pod == pod).map(|out| out.since.0);
    let Some(since) = since.filter(|_| !goes) else { return };
    let permit = context.shell.leader.permit(WRITE_TIMEOUT);
    let evicted = context.shell.evictor.evict(&key.0, &pod, since, &permit).await;
    let (result, error) = match evicted {
        Ok(()) => (WriteResult::Ok, String::new()),
        Err(error) => match error.result() {
            Some(result) => (result, error.said()),
            // The new leader decides anew.
            None => return,
        },
    };
    context.shell.metrics.evicted(result);
    let now = context.shell.clock.now();
    if result == WriteResult::Ok {
        tracing::info!(namespace = key.0, name = key.1, pod, "a replica that stood out was evicted");
        return recovery.evicted(memory, &pod, now);
    }
    tracing::warn!(namespace = key.0, name = key.1, pod, error, "a replica that stands out was not evicted");
    recovery.not_evicted(memory, &pod, result == WriteResult::TooManyRequests, &error, now);
}
