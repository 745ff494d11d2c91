//! The last step of a turn: metrics, events, and the write of the status.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Resource;
use tokio::time::Instant;

use super::{
    changes::{HARD_PAUSE, SOFT_PAUSE, Worth, worth},
    conditions, notes,
    status::status,
};
use crate::{
    actuate::{self, WRITE_TIMEOUT},
    controller::{
        capability::{Capability, Reported, View},
        context::Context,
        core::Core,
        key::ServiceKey,
        outcome::{Outcome, Written},
        unwritten::Unwritten,
    },
    lease::WriteError,
    telemetry::{ServiceLook, TrafficLook, WriteResult},
};
use plimsoll_api::{FailoverStatus, ScalableServiceStatus, Verdict};

/// Maximum delay until the watch shows one of our writes.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// A failed write of the status.
struct Failure {
    result: WriteResult,
    /// The API server rejected the status.
    refused: bool,
}

/// Reports the outcome of the last evaluation. Returns when to try again if it is too early for a write, or the write failed.
pub async fn report(
    view: &View<'_>,
    core: &mut Core,
    capabilities: &[Box<dyn Capability>],
) -> Option<Duration> {
    let View { service, key, context, facts, .. } = view;
    let outcome = core.last.as_ref()?;
    let (old, at) = core.written.clone()?;
    let (shared, generation, now) =
        (&context.shared, service.metadata.generation, context.shared.clock.now());
    let traffic = capabilities.iter().find_map(|capability| capability.synced(view));
    let conditions = conditions(capabilities, service.spec.mode, traffic.as_ref(), facts, outcome);
    // Decisions since the last written status are in the last one that was announced.
    let last = core.unwritten.announced.as_ref().unwrap_or(&old);
    let new = status(&service.spec, generation, last, outcome, &conditions, now);
    shared.metrics.observe(&measured(view, outcome, &new, &conditions, now));
    // Balancers follow the status in the API server. Rewrite it at once if another client changed their part of it.
    let seen = service.status.clone().unwrap_or_default();
    let lost = at.is_some_and(|at| at.elapsed() >= SEEN_WITHIN) && worth(&seen, &new) == Worth::Urgent;
    let pause = match if lost { Worth::Urgent } else { worth(&old, &new) } {
        Worth::Nothing => return None,
        Worth::Soft => SOFT_PAUSE,
        Worth::Hard => HARD_PAUSE,
        Worth::Urgent => Duration::ZERO,
    };
    let early = at.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()));
    if !early.is_zero() && !changed(outcome) {
        return (pause == HARD_PAUSE).then_some(early);
    }
    if !is_there(view) {
        return None;
    }
    // Publish each event once, even if the write of the status has to be repeated.
    let announced = core.unwritten.announced.replace(new.clone());
    let change = Reported { old: announced.as_ref().unwrap_or(&old), new: &new, outcome };
    for note in notes(capabilities, &change) {
        shared.events.push(note, service.object_ref(&()));
    }
    if let Some(wait) = core.unwritten.wait() {
        return Some(wait);
    }
    let written = write_status(&new, key, context).await?;
    shared.metrics.status_written(written.as_ref().err().map_or(WriteResult::Ok, |error| error.result));
    if let Err(Failure { refused, .. }) = written {
        return Some(core.unwritten.failed(refused));
    }
    core.unwritten = Unwritten::default();
    core.written = Some((Arc::new(new), Some(Instant::now())));
    None
}

/// The service's values for the operator's metrics.
fn measured<'a>(
    view: &'a View<'_>,
    outcome: &Outcome,
    new: &'a ScalableServiceStatus,
    conditions: &'a [Verdict],
    now: Timestamp,
) -> ServiceLook<'a> {
    let View { service, key, facts, .. } = view;
    ServiceLook {
        namespace: &key.namespace,
        name: &key.name,
        desired: new.desired_replicas,
        spec: new.replicas,
        ready: new.ready_replicas,
        min: Some(match outcome {
            Outcome::Done(done) => done.decided.floor,
            Outcome::Refused(_) => service.spec.min_replicas,
        }),
        max: Some(service.spec.max_replicas),
        kpis: &new.kpis,
        traffic: facts.fleet.as_ref().map(|fleet| TrafficLook {
            draining: new.traffic.as_ref().map_or(0, |traffic| traffic.draining.len()),
            held: fleet.held(),
            in_sync: fleet.in_sync(service.metadata.generation),
        }),
        ejected: new.recovery.as_ref().map(|recovery| recovery.ejected.len()),
        away: new.failover.as_ref().map(FailoverStatus::away),
        conditions,
        now,
    }
}

/// Writes the status. Returns the result, or `None` if this process does not lead.
async fn write_status(
    new: &ScalableServiceStatus,
    key: &ServiceKey,
    context: &Context,
) -> Option<Result<(), Failure>> {
    let permit = context.shared.leader.permit(WRITE_TIMEOUT);
    let Err(error) =
        actuate::write_status(&context.shared.client, &key.namespace, &key.name, new, &permit).await
    else {
        return Some(Ok(()));
    };
    let result = error.result()?;
    if matches!(error, WriteError::Api(_)) {
        let (namespace, name, error) = (&key.namespace, &key.name, error.message());
        tracing::warn!(namespace, name, error, "the status was not written");
    }
    let passes = matches!(result, WriteResult::Conflict | WriteResult::TooManyRequests);
    let refused = !passes && error.code().is_some_and(|code| (400..500).contains(&code));
    Some(Err(Failure { result, refused }))
}

/// Whether the service still exists: a new object of the same name must not get its status.
fn is_there(view: &View<'_>) -> bool {
    let found = view.context.shared.services.get(view.key);
    found.is_some_and(|object| object.meta().uid == view.service.metadata.uid)
}

/// Whether there is a change of the replicas to report.
fn changed(outcome: &Outcome) -> bool {
    outcome.done().is_some_and(|done| done.progress.written == Written::Changed)
}
