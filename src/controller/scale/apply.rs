//! Step 4 of a turn (client): the write of the replicas, after the marks on the pods to delete.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::super::{capability::View, context::Context, index::read, key::ServiceKey, outcome::Written};
use crate::{
    actuate::{self, FoundScale, ScaleError, WRITE_TIMEOUT},
    lease::{Permit, WriteError},
    telemetry::WriteResult,
};
use plimsoll_api::DecisionCode;
use plimsoll_engine::{Decision, Observation};

/// Delay between the moment our own watch shows the marks and the write of the replicas. The ReplicaSet controller receives
/// marks and replicas through separate watches; if it sees the replicas first, it deletes other pods.
const HEEDED: Duration = Duration::from_secs(1);
/// Interval for checking whether our watch shows the marks.
const GLANCE: Duration = Duration::from_millis(20);

/// The result of a write of the replicas.
pub struct Applied {
    /// The result.
    pub written: Written,
    /// The scale after the write, or as it was found, if known.
    pub found: Option<FoundScale>,
}

impl From<Written> for Applied {
    fn from(written: Written) -> Self {
        Self { written, found: None }
    }
}

/// Whether a decision changes the target or the marks of its pods.
pub fn writes(decision: &Decision) -> bool {
    scales(decision) || decision.drain.as_ref().is_some_and(|drain| !drain.stay.is_empty())
}

fn scales(decision: &Decision) -> bool {
    decision.has(DecisionCode::ScaledUp) || decision.has(DecisionCode::ScaledDown)
}

/// Writes the replicas, if they change and this process still leads.
pub async fn apply(view: &View<'_>, seen: &Observation, decision: &Decision) -> Applied {
    let shared = &view.context.shared;
    let permit = shared.leader.permit(WRITE_TIMEOUT);
    let applied = write(view, seen, decision, &permit).await.unwrap_or_else(|failed| failed);
    if applied.written == Written::Changed {
        shared.metrics.scale_written(WriteResult::Ok, newest(seen, shared.clock.now()));
    }
    applied
}

async fn write(
    view: &View<'_>,
    seen: &Observation,
    decision: &Decision,
    permit: &Permit,
) -> Result<Applied, Applied> {
    let View { service, key, context, .. } = view;
    let (client, namespace) = (&context.shared.client, &key.namespace);
    let unmarked = |pod: &str, error: WriteError| {
        let sentence = format!("pod {pod} can't be marked for deletion first: {}", error.message());
        Applied::from(unwritten(&error, context).unwrap_or(Written::Failed(sentence)))
    };
    for pod in decision.drain.iter().flat_map(|drain| &drain.stay) {
        actuate::unmark(client, namespace, pod, permit).await.map_err(|error| unmarked(pod, error))?;
    }
    if !scales(decision) {
        return Ok(Written::Nothing.into());
    }
    let ordered = seen.rotation.as_ref().is_some_and(|rotation| rotation.ordered);
    let go = decision.drain.iter().filter(|_| !ordered).flat_map(|drain| &drain.go);
    let marks = go.clone().map(|pod| async move {
        actuate::mark(client, namespace, pod, permit).await.map_err(|error| unmarked(pod, error))
    });
    let new = futures::future::try_join_all(marks).await?.contains(&true);
    let late = |error: WriteError| Applied::from(unwritten(&error, context).unwrap_or(Written::NotLeading));
    permit.within(heeded(key, go, new, context)).await.map_err(late)?;
    let reference = &service.spec.scale_target_ref;
    let api = permit.within(context.targets.api(namespace, reference)).await.map_err(late)?;
    let api = api.map_err(|error| Written::Failed(error.to_string()))?;
    let written = actuate::write_scale(&api, &reference.name, seen.replicas, decision.replicas, permit).await;
    let changed = |found| Applied { written: Written::Changed, found: Some(found) };
    written.map(changed).map_err(|error| refused(error, context))
}

/// Waits until the ReplicaSet controller can be expected to know the marks of the pods that `go`. The extra delay is needed
/// only if some marks are `new`.
async fn heeded<'a>(
    key: &ServiceKey,
    go: impl Iterator<Item = &'a String> + Clone,
    new: bool,
    context: &Context,
) {
    // The next evaluation recognizes departing pods by their marks. Without them, a pod about to be deleted would get requests.
    while !read(&context.pods, |pods| go.clone().all(|pod| pods.goes_first(&key.namespace, pod))) {
        sleep(GLANCE).await;
    }
    if new {
        sleep(HEEDED).await;
    }
}

/// The result if this process does not lead, or on a timeout; `None` for another failure.
fn unwritten(error: &WriteError, context: &Context) -> Option<Written> {
    match error {
        WriteError::NotLeading => Some(Written::NotLeading),
        WriteError::Timeout(limit) => {
            context.shared.metrics.scale_written(WriteResult::Timeout, None);
            Some(Written::Failed(format!("the scale was not written within {} s", limit.as_secs())))
        }
        WriteError::Api(_) => None,
    }
}

/// The result if the scale could not be written.
fn refused(error: ScaleError, context: &Context) -> Applied {
    let result = match &error {
        ScaleError::Changed { .. } => WriteResult::Conflict,
        ScaleError::Write(error) => match unwritten(error, context) {
            Some(written) => return written.into(),
            None => error.result().unwrap_or(WriteResult::Error),
        },
    };
    context.shared.metrics.scale_written(result, None);
    let message = error.to_string();
    match (result, error) {
        (_, ScaleError::Changed { found, .. }) => {
            Applied { written: Written::Conflict(message), found: Some(found) }
        }
        (WriteResult::Conflict, _) => Written::Conflict(message).into(),
        _ => Written::Failed(message).into(),
    }
}

/// Age of the newest sample, by our clock.
fn newest(seen: &Observation, now: Timestamp) -> Option<Duration> {
    let newest = seen.samples.values().filter_map(|sample| sample.at).max()?;
    Duration::try_from(now.duration_since(newest)).ok()
}
