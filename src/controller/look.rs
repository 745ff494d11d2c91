//! One evaluation: dereference, observe, and the engine's turn. The capabilities' effects carry out the decision.

use std::time::Duration;

use futures::future::{join, join_all};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use tokio::time::{Instant, timeout};

use super::{
    capability::{Capability, Look, View},
    core::Core,
    outcome::{Decided, Done, Outcome, Progress, Refusal, Written},
    recall::recall,
    report,
    subject::{Refused, Subject, dereference},
};
use plimsoll_api::{Goal, KpiState, ScalableServiceStatus, Validated};
use plimsoll_engine::{
    Change, Departure, Memory, Observation, Turn, Veto, past_proposals, turn, turn_unscaled,
};

/// Maximum age of a query result; services with the same query share one result within this time.
const ANSWER_AGE_MAX: Duration = Duration::from_millis(500);
/// Time limit of queries while requests wait for the first replica.
const WAKE_PATIENCE: Duration = Duration::from_millis(250);
/// Maximum time between two turns, in addition to two periods.
const UNSEEN_MAX: Duration = Duration::from_secs(30);
/// Pause before a decision is repeated after a write conflict on the target; it doubles with each conflict in a row.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// Pause before a failed write is retried; it doubles with each failure in a row.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Longest pause after failures in a row, so that writes resume soon after the API server recovers.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

type Capabilities = [Box<dyn Capability>];

/// One evaluation of the service.
pub async fn look(view: &mut View<'_>, core: &mut Core, capabilities: &mut Capabilities) {
    let interrupted = core.is_interrupted(2 * Duration::from(view.service.spec.period) + UNSEEN_MAX);
    match dereference(view.service, view.key, view.context).await {
        Ok(subject) => decide(view, subject, interrupted, core, capabilities).await,
        Err(refused) => refuse(view, refused, core, capabilities).await,
    }
    capabilities.iter_mut().for_each(|capability| capability.decided(view, core));
}

async fn decide(
    view: &mut View<'_>,
    mut subject: Subject,
    interrupted: bool,
    core: &mut Core,
    capabilities: &mut Capabilities,
) {
    let clock = &view.context.shared.clock;
    core.unscaled = Memory::default();
    core.scale.correct(&mut subject.target);
    core.follow_target(view.service, &subject.target, clock.now());
    let seen = observe(view, &subject, core, capabilities).await;
    let spec = &subject.spec;
    if core.memory.is_none() {
        core.memory = Some(remember(view, spec, core).await);
    }
    let memory = core.memory.get_or_insert_default();
    // Held requests need a replica immediately; a range query would delay it.
    if seen.held == 0 {
        recall(spec, &seen, memory, &view.asker(), view.context).await;
    }
    // Read the clock after the memory is rebuilt, so that no rebuilt proposal lies in the future.
    let now = clock.now();
    if interrupted {
        memory.interrupted();
    }
    if let Some(change) = core.unanswered.take().filter(|change| change.to == seen.replicas) {
        memory.changed(change);
    }
    let began = Instant::now();
    let Turn { decision, failover, recovery } =
        turn(spec, &seen, memory, now, &mut |departure| consent(capabilities, view, departure));
    view.context.shared.metrics.decided(decision.bound_by, began.elapsed());
    let progress = Progress { now: seen.replicas, ready: seen.pods.ready(), recovery, ..Progress::default() };
    let selector = subject.target.selector.as_ref().map(ToString::to_string);
    let decided =
        Decided { at: now, seen: seen.replicas, floor: spec.floor(now), selector, decision, failover };
    core.last = Some(Outcome::Done(Box::new(Done { decided, progress })));
    (view.subject, view.seen) = (Some(subject), Some(seen));
}

/// Handles a target that is missing or not ours to scale. Failover still moves requests when no replica serves them.
async fn refuse(view: &mut View<'_>, refused: Refused, core: &mut Core, capabilities: &mut Capabilities) {
    let Refused { reason, message, subject } = refused;
    if !Refusal::is_of_the_answer(reason) {
        core.forget_decisions();
    }
    view.context.shared.board.unscaled(view.key);
    let mut failover = None;
    if let Some(subject) = subject.as_ref().filter(|_| view.service.spec.failover.is_some()) {
        let seen = observe(view, subject, core, capabilities).await;
        let now = view.context.shared.clock.now();
        failover = turn_unscaled(&subject.spec, &seen, &mut core.unscaled, now, &mut |departure| {
            consent(capabilities, view, departure)
        });
        view.seen = Some(seen);
    }
    view.subject = subject;
    core.last = Some(Outcome::Refused(Box::new(Refusal { reason, message, failover })));
}

/// A departure from the primary is allowed unless a capability vetoes it.
fn consent(capabilities: &Capabilities, view: &View<'_>, departure: Departure<'_>) -> Result<(), Veto> {
    capabilities.iter().rev().try_for_each(|capability| capability.consent(view, departure))
}

/// Reads samples, pods and all other parts of the observation concurrently.
async fn observe(
    view: &View<'_>,
    subject: &Subject,
    core: &Core,
    capabilities: &mut Capabilities,
) -> Observation {
    let age = ANSWER_AGE_MAX.min(Duration::from(view.service.spec.period) / 4);
    let mut look = Look { view, core, subject, age, patience: Duration::MAX };
    if capabilities.iter().any(|capability| capability.hurries(&look)) {
        look.patience = WAKE_PATIENCE;
    }
    let asker = view.asker();
    let samples = timeout(look.patience, view.context.shared.kpis.ask(&asker, &subject.spec.kpis, age));
    let parts = join_all(capabilities.iter_mut().map(|capability| capability.observe(look)));
    let (samples, parts) = join(samples, parts).await;
    let samples = samples.unwrap_or_default();
    let mut seen = Observation { samples, ..Observation::default() };
    parts.into_iter().for_each(|part| part(&mut seen));
    seen
}

/// Rebuilds the memory of a service at its first evaluation in this process, from Prometheus and status.
async fn remember(view: &View<'_>, spec: &Validated, core: &Core) -> Memory {
    let (service, shared) = (view.service, &view.context.shared);
    let window = spec.scale_down.window.max(spec.scale_up.window);
    let window = Duration::try_from(window).unwrap_or_default();
    let step = Duration::try_from(spec.period).unwrap_or_default();
    let loads = spec.kpis.iter().filter(|rule| matches!(rule.goal, Goal::PerReplica(_)));
    let asker = &view.asker();
    let histories = loads.map(|rule| async move {
        let points = shared.kpis.history(asker, rule, window, step).await;
        (rule.name.clone(), points.unwrap_or_default())
    });
    let histories: Vec<_> = join_all(histories).await;
    let decisions = core.last_written().map_or(&[][..], |status| report::decisions_of(&service.spec, status));
    let made = decisions.iter().filter(|record| report::changed(record));
    let changes = made.map(|record| Change { at: record.time.0, from: record.from, to: record.to });
    let now = shared.clock.now();
    // Earlier changes are unknown: another scaler may have made them, or the ring of decisions has dropped them.
    let created = service.creation_timestamp().map_or(now, |created| created.0);
    let full = decisions.len() >= ScalableServiceStatus::DECISIONS_MAX;
    let oldest = decisions.last().filter(|_| full);
    let known_since = oldest.map_or(created, |oldest| oldest.time.0.max(created));
    Memory::rebuilt(past_proposals(spec, &histories, now), changes).known_since(known_since)
}

/// Plans the next evaluation, after the decision of this one is written.
pub fn schedule(view: &View<'_>, core: &mut Core) {
    let now = Instant::now();
    match &core.last {
        Some(Outcome::Done(_)) => {
            let wait = after_decision(view, core);
            (core.decided, core.due) = (Some(now), now + wait);
        }
        Some(Outcome::Refused(refusal)) => {
            let next =
                refusal.failover.as_ref().and_then(|failover| Duration::try_from(failover.next_look?).ok());
            let period = Duration::from(view.service.spec.period);
            core.due = now + next.map_or(period, |next| next.min(period));
        }
        None => {}
    }
}

/// Time until the next evaluation: until just after the next scrape, a short pause after a conflict, a growing one while
/// writes fail.
fn after_decision(view: &View<'_>, core: &mut Core) -> Duration {
    let (Some(seen), Some(subject), Some(done)) = (&view.seen, &view.subject, core.done()) else {
        return Duration::ZERO;
    };
    let Done { decided, progress } = done;
    let sooner = [
        progress.recovery.as_ref().and_then(|recovery| recovery.next_look),
        decided.failover.as_ref().and_then(|failover| failover.next_look),
    ];
    let next = sooner.into_iter().flatten().fold(decided.decision.next_look, SignedDuration::min);
    let failed = match progress.written {
        Written::Nothing | Written::Changed | Written::NotLeading => None,
        Written::Conflict(_) => Some(AFTER_CONFLICT),
        Written::Failed(_) => Some(AFTER_FAILURE),
    };
    let now = view.context.shared.clock.now();
    if let Some(taken) = newest_scrape(&subject.spec, seen) {
        core.scrapes.seen(taken, now);
    }
    let wait = core.scrapes.next_look(next, now).max(SignedDuration::from_millis(100));
    let (failures, wait) = match failed {
        None => (0, Duration::try_from(wait).unwrap_or_default()),
        Some(first) => (core.failures.saturating_add(1), backoff(first, core.failures)),
    };
    core.failures = failures;
    wait
}

/// Time of the newest sample of the first KPI that has a fresh one.
fn newest_scrape(spec: &Validated, seen: &Observation) -> Option<Timestamp> {
    let fresh = |name: &str| seen.samples.get(name).filter(|sample| sample.state == KpiState::Fresh)?.at;
    spec.kpis.iter().find_map(|rule| fresh(&rule.name))
}

/// A pause that doubles with each of the `failures` in a row.
fn backoff(first: Duration, failures: u32) -> Duration {
    (first * (1 << failures.min(5))).min(BACKOFF_MAX)
}
