//! Step 4 of a turn (client): the replicas, and before them the marks of those that are to go.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::{context::Context, index::read, state::Key};
use crate::{
    actuate::{self, FoundScale, ScaleError},
    lease::{Permit, WriteError},
    telemetry::WriteResult,
};
use plimsoll_api::{ReasonCode, ScalableService};
use plimsoll_engine::{Decision, Observation};

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
    /// The API server accepted the change; the scale as it is since.
    Done(FoundScale),
    /// Another client changed the target between the read and the write.
    Conflict {
        /// What there is; `None` if it has to be read anew.
        found: Option<FoundScale>,
        /// In a sentence.
        message: String,
    },
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
    let permit = context.shell.leader.permit(WRITE_TIMEOUT);
    let applied =
        write(service, key, seen, decision, (context, &permit)).await.unwrap_or_else(|failed| failed);
    if matches!(applied, Applied::Done(_)) {
        let age = newest(seen, context.shell.clock.now());
        context.shell.metrics.scale_written(WriteResult::Ok, age);
    }
    applied
}

async fn write(
    service: &ScalableService,
    key: &Key,
    seen: &Observation,
    decision: &Decision,
    (context, permit): (&Context, &Permit),
) -> Result<Applied, Applied> {
    let client = &context.shell.client;
    let unmarked = |pod: &str, error: WriteError| {
        let sentence = format!("pod {pod} can't be marked as the next to be deleted: {}", error.said());
        unwritten(&error, context).unwrap_or(Applied::Failed(sentence))
    };
    for pod in decision.drain.iter().flat_map(|drain| &drain.stay) {
        actuate::unmark(client, &key.0, pod, permit).await.map_err(|error| unmarked(pod, error))?;
    }
    if !(decision.has(ReasonCode::ScaledUp) || decision.has(ReasonCode::ScaledDown)) {
        return Ok(Applied::Nothing);
    }
    let ordered = seen.rotation.as_ref().is_some_and(|rotation| rotation.ordered);
    let go = decision.drain.iter().filter(|_| !ordered).flat_map(|drain| &drain.go);
    let marks = go.clone().map(|pod| async move {
        actuate::mark(client, &key.0, pod, permit).await.map_err(|error| unmarked(pod, error))
    });
    let new = futures::future::try_join_all(marks).await?.contains(&true);
    let late = |error: WriteError| unwritten(&error, context).unwrap_or(Applied::Nothing);
    permit.within(heeded(key, go, new, context)).await.map_err(late)?;
    let reference = &service.spec.scale_target_ref;
    let api = permit.within(context.targets.api(&key.0, reference)).await.map_err(late)?;
    let api = api.map_err(|error| Applied::Failed(error.to_string()))?;
    let written = actuate::write_scale(&api, &reference.name, seen.replicas, decision.replicas, permit).await;
    written.map(Applied::Done).map_err(|error| refused(error, context))
}

/// Waits until the marks of those that `go` are heeded; some of them may be `new`.
async fn heeded<'a>(key: &Key, go: impl Iterator<Item = &'a String> + Clone, new: bool, context: &Context) {
    // The next look tells by its mark who was let go: without it, one that is about to be deleted would get requests.
    while !read(&context.pods, |pods| go.clone().all(|pod| pods.goes_first(&key.0, pod))) {
        sleep(GLANCE).await;
    }
    if new {
        sleep(HEEDED).await;
    }
}

/// What becomes of a decision if this process does not lead, or if its time is over; `None` for another failure.
fn unwritten(error: &WriteError, context: &Context) -> Option<Applied> {
    match error {
        WriteError::NotLeading => Some(Applied::Nothing),
        WriteError::Timeout(limit) => {
            context.shell.metrics.scale_written(WriteResult::Timeout, None);
            Some(Applied::Failed(format!("the scale was not written within {} s", limit.as_secs())))
        }
        WriteError::Api(_) => None,
    }
}

/// What becomes of a decision whose scale could not be written.
fn refused(error: ScaleError, context: &Context) -> Applied {
    let result = match &error {
        ScaleError::Changed { .. } => WriteResult::Conflict,
        ScaleError::Write(error) => match unwritten(error, context) {
            Some(applied) => return applied,
            None => error.result().unwrap_or(WriteResult::Error),
        },
    };
    context.shell.metrics.scale_written(result, None);
    let message = error.to_string();
    match (result, error) {
        (_, ScaleError::Changed { found, .. }) => Applied::Conflict { found: Some(found), message },
        (WriteResult::Conflict, _) => Applied::Conflict { found: None, message },
        _ => Applied::Failed(message),
    }
}

/// Age of the newest sample, by our clock.
fn newest(seen: &Observation, now: Timestamp) -> Option<Duration> {
    let newest = seen.samples.values().filter_map(|sample| sample.at).max()?;
    Duration::try_from(now.duration_since(newest)).ok()
}
