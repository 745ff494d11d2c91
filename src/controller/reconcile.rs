//! One turn for one service: dereference, observe, decide, apply, report. The client appears in the first two and the
//! last two steps and nowhere else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use tokio::time::{Instant, timeout};

use super::{
    apply::{Applied, WRITE_TIMEOUT, apply},
    arrivals, balancers,
    context::Context,
    failover,
    fleet::Fleet,
    gateway,
    index::read,
    outcome::{Done, Outcome, Refusal, Written},
    outliers,
    recall::recall,
    report,
    state::{Key, State},
    subject::{Refused, Subject, dereference},
    zones,
};
use crate::{
    actuate,
    api::{FailoverStatus, Goal, KpiState, ScalableService, ScalableServiceStatus, Validated},
    controller::index::Target,
    engine::{self, Change, Memory, Observation, Pods},
    kpi::Asker,
    lease::WriteError,
    telemetry::{ServiceLook, TrafficLook, WriteResult},
};

/// An answer of Prometheus may be this old; services that ask the same within it share one query.
const ANSWER_AGE_MAX: Duration = Duration::from_millis(500);
/// An answer that takes longer is not waited for when requests wait for the first replica.
const WAKE_PATIENCE: Duration = Duration::from_millis(250);
/// Pause before a decision is made anew when the target changed under it.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// Pause before the watches are asked again whether they have listed everything.
const UNLISTED: Duration = Duration::from_millis(100);
/// The watch shows a write of ours within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// Longest pause after failures in a row: an API server that is back shall not be waited for.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Looks at one service if it is due, and brings its status up to date in any case.
pub async fn reconcile(
    object: Arc<DeserializeGuard<ScalableService>>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    if !context.shell.leader.leads() || object.meta().deletion_timestamp.is_some() {
        context.forget(&key);
        return Ok(Action::await_change());
    }
    let Ok(service) = &object.0 else {
        // The schema refuses such an object; one from before the schema waits until somebody mends it.
        tracing::warn!(
            namespace = key.0,
            name = key.1,
            "the object is not understood: {}",
            object.0.as_ref().err().map(|invalid| invalid.error.as_str()).unwrap_or_default()
        );
        context.shell.board.forget(&key);
        // What the last look found would stay in the metrics as if it were still true.
        context.shell.metrics.forget(&key.0, &key.1);
        return Ok(Action::await_change());
    };
    if !(context.shell.health.is_ready() && context.shell.services.listed()) {
        // What is not listed yet would be taken for gone: the pods of a service that serves, the scaler that was first.
        return Ok(Action::requeue(UNLISTED));
    }
    failover::begin(&context);
    let period = Duration::from(service.spec.period);
    let state = context.states.of(&key, period);
    let mut state = state.lock().await;
    if state.written.is_none() {
        state.written = Some((service.status.clone().unwrap_or_default(), None));
    }
    let spec_changed = state.generation.is_some() && state.generation != service.metadata.generation;
    let called =
        called(service, &key, &mut state, &context) || zones::changed(service, &key, &state, &context);
    if spec_changed || called || Instant::now() >= state.due {
        state.generation = service.metadata.generation;
        let outcome = look(service, &key, &mut state, &context).await;
        state.last = Some(outcome);
    } else {
        refresh(service, &key, &mut state, &context);
    }
    let fleet = balancers::fleet(service, &key, &state, &context);
    arrivals::follow(service, &key, fleet.as_ref(), &mut state, &context);
    balancers::count(fleet.as_ref(), &mut state);
    let route = gateway::bring_about(service, &key, &mut state, &context).await;
    let again = report(service, &key, fleet.as_ref(), &mut state, &context).await;
    balancers::forget_gone(service, &key, &context).await;
    let due = state.due.saturating_duration_since(Instant::now());
    Ok(Action::requeue([again, route].into_iter().flatten().fold(due, Duration::min)))
}

/// Whether a balancer said something that is not to wait: requests that nobody serves, or a drain that goes on.
fn called(service: &ScalableService, key: &Key, state: &mut State, context: &Context) -> bool {
    let asked = state.asked != context.shell.board.asked(key).replicas
        || state.order != failover::order(service)
        || failing(service, key, state, context);
    let Some(fleet) = balancers::fleet(service, key, state, context) else { return asked };
    let word = fleet.word();
    if state.word == word {
        return asked;
    }
    let answering = state.word.answering != word.answering;
    state.word = word;
    let ready = match &state.last {
        Some(Outcome::Done(done)) => done.ready,
        _ => 0,
    };
    let drains = state.written.iter().any(|(status, _)| {
        status.traffic.as_ref().is_some_and(|traffic| !traffic.draining.is_empty())
            || status.recovery.as_ref().is_some_and(|recovery| !recovery.ejected.is_empty())
    });
    asked || answering || drains || (fleet.held() > 0 && ready == 0)
}

/// Whether replicas of a service with a failover are ready no more, which must not wait for its next look.
fn failing(service: &ScalableService, key: &Key, state: &State, context: &Context) -> bool {
    let (Some(_), Some(Outcome::Done(done))) = (&service.spec.failover, &state.last) else { return false };
    let target = context.targets.watched(&key.0, &service.spec.scale_target_ref);
    target.is_some_and(|target| pods(&target, key, context).ready() < done.ready)
}

/// One look at the KPIs, and what follows from it.
async fn look(service: &ScalableService, key: &Key, state: &mut State, context: &Context) -> Outcome {
    let asked = context.shell.board.asked(key);
    (state.order, state.asked) = (failover::order(service), asked.replicas);
    let subject = match dereference(service, key, context).await {
        Ok(subject) => subject,
        Err(refused) => return refuse(service, refused, key, state, context).await,
    };
    state.unscaled = Memory::default();
    let mut seen = Observation { asked, ..observe(service, &subject, key, state, context).await };
    let now = context.shell.clock.now();
    if state.memory.is_none() {
        state.memory = Some(remember(service, &subject.spec, key, context).await);
    }
    let settled = gateway::is_settled(service, state);
    let memory = state.memory.get_or_insert_default();
    recall(&subject.spec, &seen, memory, &asker(service, key), context).await;
    let began = Instant::now();
    let mut recovery = engine::judge(&subject.spec, &seen, memory, now);
    let shift = failover::decide(service, key, &subject.spec, &mut seen, (memory, now), context.others());
    seen.returning = shift.as_ref().map_or(0, |shift| shift.floor);
    let decision = engine::decide(&subject.spec, &seen, memory, now);
    context.shell.metrics.decided(decision.bound_by, began.elapsed());
    failover::tell(service, key, Some(&decision), &seen, (shift.as_ref(), settled), context.others());
    let told = state.written.as_ref().map(|(status, _)| status);
    failover::announce(key, told, shift.as_ref(), context).await;
    let applied = apply(service, key, &seen, &decision, context).await;
    if let Some(recovery) = &mut recovery {
        outliers::replace(recovery, &decision, memory, key, context).await;
    }
    if applied == Applied::Done {
        memory.changed(Change { at: now, from: seen.replicas, to: decision.replicas });
    }
    let sooner = [recovery.as_ref().and_then(|it| it.next_look), shift.as_ref().and_then(|it| it.next_look)];
    let next = sooner.into_iter().flatten().fold(decision.next_look, SignedDuration::min);
    schedule(state, &subject.spec, &seen, next, &applied, context.shell.clock.now());
    balancers::bring_about(service, &subject.target, key, state, context).await;
    let told = state.written.as_ref().map(|(status, _)| status);
    let leaving = state.leaving.now(seen.rotation.as_ref(), told, Instant::now());
    Outcome::Done(Box::new(Done {
        at: now,
        seen: seen.replicas,
        now: if applied == Applied::Done { decision.replicas } else { seen.replicas },
        ready: seen.pods.ready(),
        floor: subject.spec.floor(now),
        selector: subject.target.selector.as_ref().map(ToString::to_string),
        decision,
        written: match applied {
            Applied::Done => Written::Changed,
            Applied::Nothing | Applied::Conflict => Written::Nothing,
            Applied::Failed(error) => Written::Failed(error),
        },
        leaving,
        arrived: Vec::new(),
        balancers: None,
        recovery,
        shift,
    }))
}

/// The target is not ours to scale, or is not there: requests go elsewhere all the same when nobody serves them here.
async fn refuse(
    service: &ScalableService,
    refused: Refused,
    key: &Key,
    state: &mut State,
    context: &Context,
) -> Outcome {
    let Refused { reason, message, subject } = refused;
    // Whoever takes the target over meanwhile makes what is remembered of it worthless.
    state.memory = None;
    context.shell.board.unscaled(key);
    let mut wait = Duration::from(service.spec.period);
    let mut shift = None;
    if let Some(subject) = subject.as_ref().filter(|subject| subject.target.selector.is_some()) {
        balancers::bring_about(service, &subject.target, key, state, context).await;
    }
    if let Some(subject) = subject.filter(|_| service.spec.failover.is_some()) {
        let mut seen = observe(service, &subject, key, state, context).await;
        let now = context.shell.clock.now();
        let settled = gateway::is_settled(service, state);
        let memory = &mut state.unscaled;
        shift = failover::decide(service, key, &subject.spec, &mut seen, (memory, now), context.others());
        failover::tell(service, key, None, &seen, (shift.as_ref(), settled), context.others());
        failover::announce(key, state.told(), shift.as_ref(), context).await;
        let next = shift.as_ref().and_then(|shift| Duration::try_from(shift.next_look?).ok());
        wait = next.map_or(wait, |next| next.min(wait));
    }
    state.due = Instant::now() + wait;
    Outcome::Refused(Box::new(Refusal { reason, message, shift }))
}

/// As whose the service's queries count.
fn asker(service: &ScalableService, (namespace, name): &Key) -> Asker {
    Asker::new(namespace, name, service.spec.criticality)
}

/// Step 2 (client): samples, pods, and what the balancers say.
async fn observe(
    service: &ScalableService,
    subject: &Subject,
    key: &Key,
    state: &mut State,
    context: &Context,
) -> Observation {
    let Subject { spec, target } = subject;
    let fleet = balancers::fleet(service, key, state, context);
    let held = fleet.as_ref().map_or(0, Fleet::held);
    let age = ANSWER_AGE_MAX.min(Duration::from(service.spec.period) / 4);
    let hurry =
        (target.ready == 0 && held > 0) || (spec.failover.is_some() && failover::in_doubt(service, target));
    let patience = if hurry { WAKE_PATIENCE } else { Duration::MAX };
    let asker = asker(service, key);
    let (samples, peers) = futures::future::join(
        timeout(patience, context.shell.kpis.ask(&asker, &spec.kpis, age)),
        outliers::peers(&asker, spec.outliers.as_ref(), target, key, state, (age, patience), context),
    )
    .await;
    let samples = samples.unwrap_or_default();
    let standing = failover::standing(service, key, state, fleet.as_ref(), context).await;
    let topology = zones::topology(service, target, key, state, context);
    let rotation = fleet.and_then(|fleet| balancers::rotation(service, target, key, &fleet, state, context));
    let pods = pods(target, key, context);
    Observation {
        replicas: target.replicas,
        pods,
        samples,
        held,
        rotation,
        peers,
        standing,
        topology,
        ..Observation::default()
    }
}

fn pods(target: &Target, key: &Key, context: &Context) -> Pods {
    match &target.selector {
        Some(selector) => Pods::Listed(read(&context.pods, |index| {
            index.select(&key.0, selector, target.revision.as_ref())
        })),
        None => Pods::Counted { ready: target.ready },
    }
}

/// The memory of a service that this process looks at for the first time: what Prometheus and status know of the past.
async fn remember(service: &ScalableService, spec: &Validated, key: &Key, context: &Context) -> Memory {
    let window = spec.scale_down.window.max(spec.scale_up.window);
    let window = Duration::try_from(window).unwrap_or_default();
    let step = Duration::try_from(spec.period).unwrap_or_default();
    let loads = spec.kpis.iter().filter(|rule| matches!(rule.goal, Goal::PerReplica(_)));
    let asker = &asker(service, key);
    let histories = loads.map(|rule| async move {
        let points = context.shell.kpis.history(asker, rule, window, step).await;
        (rule.name.clone(), points.unwrap_or_default())
    });
    let histories: Vec<_> = futures::future::join_all(histories).await;
    let decisions =
        service.status.iter().flat_map(|status| &status.decisions).filter(|record| report::changed(record));
    let changes = decisions.map(|record| Change { at: record.time.0, from: record.from, to: record.to });
    Memory::rebuilt(engine::past_proposals(spec, &histories), changes)
}

/// When to look again: just after the next scrape, at once after a conflict, later and later while writes fail.
fn schedule(
    state: &mut State,
    spec: &Validated,
    seen: &Observation,
    next: SignedDuration,
    applied: &Applied,
    now: Timestamp,
) {
    let fresh = |name: &str| seen.samples.get(name).filter(|sample| sample.state == KpiState::Fresh)?.at;
    if let Some(taken) = spec.kpis.iter().find_map(|rule| fresh(&rule.name)) {
        state.scrapes.seen(taken, now);
    }
    let wait = state.scrapes.next_look(next, now).max(SignedDuration::from_millis(100));
    let wait = Duration::try_from(wait).unwrap_or_default();
    state.failures = if matches!(applied, Applied::Failed(_)) { state.failures.saturating_add(1) } else { 0 };
    state.due = Instant::now()
        + match applied {
            Applied::Conflict => AFTER_CONFLICT,
            Applied::Failed(_) => Duration::from_secs(1 << state.failures.min(3)).min(BACKOFF_MAX),
            Applied::Nothing | Applied::Done => wait,
        };
}

/// Between two looks: what the watches know by now of replicas and pods.
fn refresh(service: &ScalableService, key: &Key, state: &mut State, context: &Context) {
    let Some(Outcome::Done(done)) = &mut state.last else { return };
    let Some(target) = context.targets.watched(&key.0, &service.spec.scale_target_ref) else { return };
    let pods = pods(&target, key, context);
    done.ready = pods.ready();
    // Of a StatefulSet one comes back under its name, and that is another one.
    if let Pods::Listed(there) = &pods {
        done.leaving.retain(|name, _| !there.iter().any(|pod| pod.name == *name));
    }
    done.written = match &done.written {
        // The change is told; from here on it is how things are.
        Written::Changed => Written::Nothing,
        other => other.clone(),
    };
    done.now = target.replicas;
    context.shell.board.ready(key, done.ready);
}

/// Step 5 (client): metrics, status, events. Returns when to try again if it is too early for a write.
async fn report(
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
    let verdicts = report::verdicts(service.spec.mode, outcome, traffic);
    let new = report::status(&service.spec, service.metadata.generation, &old, outcome, &verdicts, now);
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
    let result = write_status(&new, key, context).await?;
    context.shell.metrics.status_written(result);
    let about = service.object_ref(&());
    for note in report::notes(&old, &new, outcome) {
        let permit = context.shell.leader.permit(WRITE_TIMEOUT);
        context.shell.events.publish(&note, &about, &permit).await;
    }
    if result != WriteResult::Ok {
        return Some(Duration::from_secs(2));
    }
    state.written = Some((new, Some(Instant::now())));
    None
}

/// Writes the status; how that ended, or `None` if this process does not lead.
async fn write_status(new: &ScalableServiceStatus, key: &Key, context: &Context) -> Option<WriteResult> {
    let permit = context.shell.leader.permit(WRITE_TIMEOUT);
    let Err(error) = actuate::write_status(&context.shell.client, &key.0, &key.1, new, &permit).await else {
        return Some(WriteResult::Ok);
    };
    if matches!(error, WriteError::Api(_)) {
        let (namespace, name, error) = (&key.0, &key.1, error.said());
        tracing::warn!(namespace, name, error, "the status was not written");
    }
    error.result()
}

/// Whether there is a change of the replicas to tell.
fn changed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(done) if done.written == Written::Changed)
}
