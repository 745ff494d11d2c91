//! Removes marks from pods that no service drains any more: the service was deleted or refused between the mark and the write
//! of the scale, or lost its `spec.traffic`. With a stale mark, the next scale-down by any client would delete that pod first.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use kube::Resource;
use tokio::time::sleep;

use super::super::{context::Context, index::read};
use crate::actuate::{self, WRITE_TIMEOUT};
use plimsoll_api::TrafficStatus;

/// Time between two rounds. A mark is removed in the second round that finds it, since a watch may lag behind a drain that
/// has just begun.
const PAUSE: Duration = Duration::from_secs(30);

/// Namespace and name of a pod.
type PodKey = (String, String);

/// Makes a round every 30 s while this process leads.
pub async fn sweep(context: Arc<Context>) -> Infallible {
    let mut before = BTreeSet::new();
    loop {
        sleep(PAUSE).await;
        let shared = &context.shared;
        let is_synced = shared.leader.leads() && shared.health.is_ready() && shared.services.listed();
        let left = if is_synced { left(&context) } else { BTreeSet::new() };
        for (namespace, pod) in left.intersection(&before) {
            let permit = shared.leader.permit(WRITE_TIMEOUT);
            match actuate::unmark(&shared.client, namespace, pod, &permit).await {
                Ok(()) => tracing::info!(namespace, pod, "removed a stale deletion mark"),
                Err(error) => {
                    let error = error.message();
                    tracing::debug!(namespace, pod, error, "failed to remove a stale deletion mark");
                }
            }
        }
        before = left;
    }
}

/// Marked pods that are not draining in any service's status.
fn left(context: &Context) -> BTreeSet<PodKey> {
    let mut marked: BTreeSet<PodKey> = read(&context.pods, |pods| pods.marked().collect());
    if marked.is_empty() {
        return marked;
    }
    for service in context.shared.services.all() {
        let namespace = service.meta().namespace.as_deref().unwrap_or_default();
        let status = service.0.as_ref().ok().and_then(|service| service.status.as_ref());
        let draining = status.and_then(|status| status.traffic.as_ref()).map(TrafficStatus::draining_pods);
        for pod in draining.into_iter().flatten() {
            marked.remove(&(namespace.to_owned(), pod));
        }
    }
    marked
}
