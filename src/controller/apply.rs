//! Step 4 of a turn (client): the replicas, and before them the marks of those that are to go.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::{context::Context, index::read, state::Key};
use crate::{
    actuate::{self, ScaleError, said},
    api::{ReasonCode, ScalableService},
    engine::{Decision, Observation},
    telemetry::WriteResult,
};

/// A write that takes longer has failed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The ReplicaSet controller hears of marks and of replicas by watches of their own, and deletes whom it likes where it
/// hears of the replicas first. So it gets this long after our own watch has shown the marks.
const HEEDED: Duration = Duration::from_secs(1);
/// How often to look whether it has.
const GLANCE: Duration = Duration::from_millis(20);

/// What became of a decision.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// There was nothing to write, or nothing may be written.
    Nothing,
    /// The replicas were changed.
    Done,
    /// Somebody else changed them meanwhile.
    Conflict,
    /// They should have been changed, but were not.
    Failed(String),
}

/// Writes the replicas, if they change and this process still leads.
pub async fn apply(
    service: &ScalableService,
    key: &Key,
    seen: &Observation,
    decision: &Decision,
    context: &Context,
) -> Applied {
    if !context.shell.leader.leads() {
        return Applied::Nothing;
    }
    match timeout(WRITE_TIMEOUT, write(service, key, seen, decision, context)).await {
        Ok(Ok(applied)) => {
            if applied == Applied::Done {
                context.shell.metrics.scale_written(WriteResult::Ok, newest(seen, context.shell.clock.now()));
            }
            applied
        }
        Ok(Err(failed)) => failed,
        Err(_) => {
            context.shell.metrics.scale_written(WriteResult::Timeout, None);
            Applied::Failed(format!("the scale was not written within {} s", WRITE_TIMEOUT.as_secs()))
        }
    }
}

async fn write(
    service: &ScalableService,
    key: &Key,
    seen: &Observation,
    decision: &Decision,
    context: &Context,
) -> Result<Applied, Applied> {
    let client = &context.shell.client;
    for pod in decision.drain.iter().flat_map(|drain| &drain.stay) {
        actuate::unmark(client, &key.0, pod).await.map_err(|error| unmarked(pod, &error))?;
    }
    if !(decision.has(ReasonCode::ScaledUp) || decision.has(ReasonCode::ScaledDown)) {
        return Ok(Applied::Nothing);
    }
    let ordered = seen.rotation.as_ref().is_some_and(|rotation| rotation.ordered);
    let go = decision.drain.iter().filter(|_| !ordered).flat_map(|drain| &drain.go);
    let marks = go.clone().map(|pod| async move {
        actuate::mark(client, &key.0, pod).await.map_err(|error| unmarked(pod, &error))
    });
    let new = futures::future::try_join_all(marks).await?.contains(&true);
    // The next look tells by its mark who was let go: without it, one that is about to be deleted would get requests.
    while !read(&context.pods, |pods| go.clone().all(|pod| pods.goes_first(&key.0, pod))) {
        sleep(GLANCE).await;
    }
    if new {
        sleep(HEEDED).await;
    }
    let reference = &service.spec.scale_target_ref;
    let api = context.targets.api(&key.0, reference).await;
    let api = api.map_err(|error| Applied::Failed(error.to_string()))?;
    let written = actuate::write_scale(&api, &reference.name, seen.replicas, decision.replicas).await;
    written.map_err(|error| {
        context.shell.metrics.scale_written(error.result(), None);
        match error {
            ScaleError::Changed { .. } => Applied::Conflict,
            other if other.result() == WriteResult::Conflict => Applied::Conflict,
            other => Applied::Failed(other.to_string()),
        }
    })?;
    Ok(Applied::Done)
}

fn unmarked(pod: &str, error: &kube::Error) -> Applied {
    Applied::Failed(format!("pod {pod} can't be marked as the next to be deleted: {}", said(error)))
}

/// Age of the newest sample, by our clock.
fn newest(seen: &Observation, now: Timestamp) -> Option<Duration> {
    let newest = seen.samples.values().filter_map(|sample| sample.at).max()?;
    Duration::try_from(now.duration_since(newest)).ok()
}
