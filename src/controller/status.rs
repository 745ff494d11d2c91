//! Step 5 of a turn (client): metrics, status, events.

use std::time::Duration;

use kube::Resource;
use tokio::time::Instant;

use super::{
    apply::WRITE_TIMEOUT,
    context::Context,
    fleet::Fleet,
    gateway,
    outcome::{Outcome, Written},
    report,
    state::{Key, State},
};
use crate::{
    actuate,
    lease::WriteError,
    telemetry::{ServiceLook, TrafficLook, WriteResult},
};
use plimsoll_api::{FailoverStatus, ScalableService, ScalableServiceStatus};

/// The watch shows a write of ours within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// First pause after a write of the status that failed; it doubles with each failure in a row.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause while the API server does not answer, so that the status is soon right when it is back.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause while it answers that it refuses the status, which seldom passes by itself.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A status that could not be written yet.
#[derive(Debug, Default)]
pub struct Unwritten {
    /// Failures in a row.
    failures: u32,
    /// When to try again.
    not_before: Option<Instant>,
    /// The last status whose events were published.
    announced: Option<ScalableServiceStatus>,
}

impl Unwritten {
    /// How long to wait before the next attempt.
    fn wait(&self) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// Notes a failure. Returns when to try again.
    fn failed(&mut self, refused: bool) -> Duration {
        let longest = if refused { REFUSED_PAUSE_MAX } else { PAUSE_MAX };
        let pause = (PAUSE * (1 << self.failures.min(6))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        pause
    }
}

/// How a write of the status failed.
struct Failure {
    result: WriteResult,
    /// The API server answered that it does not take the status.
    refused: bool,
}

/// Reports what came of the last look. Returns when to try again if it is too early for a write.
pub async fn report(
    service: &ScalableService,
    key: &Key,
    fleet: Option<&Fleet>,
    state: &mut State,
    context: &Context,
) -> Option<Duration> {
    let outcome = state.last.as_ref()?;
    let (old, at) = state.written.clone()?;
    let now = context.shell.clock.now();
    let traffic = fleet.map(|fleet| fleet.verdict(service.metadata.generation));
    let traffic = traffic.or_else(|| gateway::verdict(service, state));
    let mut verdicts = report::verdicts(service.spec.mode, outcome, traffic);
    verdicts.extend(fleet.and_then(Fleet::headroom));
    // What was decided since the last status that was written stands in the last one that was tried.
    let last = state.unwritten.announced.as_ref().unwrap_or(&old);
    let new = report::status(&service.spec, service.metadata.generation, last, outcome, &verdicts, now);
    context.shell.metrics.observe(&ServiceLook {
        namespace: &key.0,
        name: &key.1,
        desired: new.desired_replicas,
        wanted: new.replicas,
        ready: new.ready_replicas,
        min: Some(match outcome {
            Outcome::Done(done) => done.floor,
            Outcome::Refused(_) => service.spec.min_replicas,
        }),
        max: Some(service.spec.max_replicas),
        kpis: &new.kpis,
        traffic: fleet.map(|fleet| TrafficLook {
            draining: new.traffic.as_ref().map_or(0, |traffic| traffic.draining.len()),
            held: fleet.held(),
            in_sync: fleet.in_sync(service.metadata.generation),
        }),
        ejected: new.recovery.as_ref().map(|recovery| recovery.ejected.len()),
        away: new.failover.as_ref().map(FailoverStatus::away),
        conditions: &verdicts,
        now,
    });
    // Balancers follow what stands there, also what somebody else made of it; the watch shows our own write by then.
    let seen = service.status.clone().unwrap_or_default();
    let lost = at.is_some_and(|at| at.elapsed() >= SEEN_WITHIN)
        && report::worth(&seen, &new) == report::Worth::Urgent;
    let pause = match if lost { report::Worth::Urgent } else { report::worth(&old, &new) } {
        report::Worth::Nothing => return None,
        report::Worth::Soft => report::SOFT_PAUSE,
        report::Worth::Hard => report::HARD_PAUSE,
        report::Worth::Urgent => Duration::ZERO,
    };
    let early = at.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()));
    if !early.is_zero() && !changed(outcome) {
        return (pause == report::HARD_PAUSE).then_some(early);
    }
    if !is_there(service, key, context) {
        return None;
    }
    // Each event is published once, however often the write of the status has to be repeated.
    let announced = state.unwritten.announced.replace(new.clone());
    for note in report::notes(announced.as_ref().unwrap_or(&old), &new, outcome) {
        context.shell.events.push(note, service.object_ref(&()));
    }
    if let Some(wait) = state.unwritten.wait() {
        return Some(wait);
    }
    let written = write_status(&new, key, context).await?;
    context
        .shell
        .metrics
        .status_written(written.as_ref().err().map_or(WriteResult::Ok, |error| error.result));
    if let Err(Failure { refused, .. }) = written {
        return Some(state.unwritten.failed(refused));
    }
    state.unwritten = Unwritten::default();
    state.written = Some((new, Some(Instant::now())));
    None
}

/// Writes the status; how that ended, or `None` if this process does not lead.
async fn write_status(
    new: &ScalableServiceStatus,
    key: &Key,
    context: &Context,
) -> Option<Result<(), Failure>> {
    let permit = context.shell.leader.permit(WRITE_TIMEOUT);
    let Err(error) = actuate::write_status(&context.shell.client, &key.0, &key.1, new, &permit).await else {
        return Some(Ok(()));
    };
    let result = error.result()?;
    if matches!(error, WriteError::Api(_)) {
        let (namespace, name, error) = (&key.0, &key.1, error.said());
        tracing::warn!(namespace, name, error, "the status was not written");
    }
    let passes = matches!(result, WriteResult::Conflict | WriteResult::TooManyRequests);
    let refused = !passes && error.code().is_some_and(|code| (400..500).contains(&code));
    Some(Err(Failure { result, refused }))
}

/// Whether the service is still there: another one that has its name by now must not get its status.
fn is_there(service: &ScalableService, key: &Key, context: &Context) -> bool {
    context.shell.services.get(key).is_some_and(|object| object.meta().uid == service.metadata.uid)
}

/// Whether there is a change of the replicas to tell.
fn changed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(done) if done.written == Written::Changed)
}
