//! One turn for one service: dereference, observe, decide, apply, report. The client appears in the first two and the
//! last two steps and nowhere else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use tokio::time::{Instant, timeout};

use super::{
    apply::{Applied, apply},
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
    state::{Key, Owner, State},
    status,
    subject::{self, Refused, Subject, dereference},
    zones,
};
use crate::{controller::index::Target, kpi::Asker};
use plimsoll_api::{Goal, KpiState, ScalableService, ScalableServiceStatus, Validated};
use plimsoll_engine::{Change, Memory, Observation, Pods, Turn, past_proposals, turn, turn_unscaled};

/// An answer of Prometheus may be this old; services that ask the same within it share one query.
const ANSWER_AGE_MAX: Duration = Duration::from_millis(500);
/// An answer that takes longer is not waited for when requests wait for the first replica.
const WAKE_PATIENCE: Duration = Duration::from_millis(250);
/// From the end of a turn to the beginning of the next one it may be this long, on top of two periods.
const UNSEEN_MAX: Duration = Duration::from_secs(30);
/// Pause before a decision is made anew when the target changed under it; it doubles with each conflict in a row.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// Pause before a write that failed is tried again; it doubles with each failure in a row.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Pause before the lease is checked again. A renewal just after the deadline begins no new term, so no event follows it.
const NOT_LEADING: Duration = Duration::from_secs(30);
/// Pause before the watches are asked again whether they have listed everything.
const UNLISTED: Duration = Duration::from_millis(100);
/// Longest pause after failures in a row: an API server that is back shall not be waited for.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Looks at one service if it is due, and brings its status up to date in any case.
pub async fn reconcile(
    object: Arc<DeserializeGuard<ScalableService>>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    if object.meta().deletion_timestamp.is_some() {
        context.forget(&key);
        return Ok(Action::await_change());
    }
    let Some(term) = context.shell.leader.term() else {
        context.leave(&key);
        return Ok(Action::requeue(NOT_LEADING));
    };
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
    let owner = Owner { uid: object.uid(), term };
    if context.states.disown(&key, &owner) {
        context.leave(&key);
    }
    failover::begin(&context);
    let period = Duration::from(service.spec.period);
    let state = context.states.of(&key, owner, period);
    let mut state = state.lock().await;
    if state.written.is_none() {
        state.written = Some((report::own_status(service), None));
    }
    let spec_changed = state.generation.is_some() && state.generation != service.metadata.generation;
    let called = called(service, &key, &mut state, &context)
        || zones::changed(service, &key, &state, &context)
        || subject::changed(service, &key, state.last.as_ref(), &context);
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
    let again = status::report(service, &key, fleet.as_ref(), &mut state, &context).await;
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
    let interrupted = is_interrupted(service, state);
    let mut subject = match dereference(service, key, context).await {
        Ok(subject) => subject,
        Err(refused) => return refuse(service, refused, key, state, context).await,
    };
    state.unscaled = Memory::default();
    state.scale.correct(&mut subject.target);
    follow_target(service, &subject.target, state, context.shell.clock.now());
    let seen = Observation { asked, ..observe(service, &subject, key, state, context).await };
    if state.memory.is_none() {
        state.memory = Some(remember(service, &subject.spec, key, state, context).await);
    }
    let settled = gateway::is_settled(service, state);
    let memory = state.memory.get_or_insert_default();
    // Held requests need a replica at once; a range query would delay it.
    if seen.held == 0 {
        recall(&subject.spec, &seen, memory, &asker(service, key), context).await;
    }
    // Read after the recovery, so that no recovered proposal lies in the future.
    let now = context.shell.clock.now();
    if interrupted {
        memory.interrupted();
    }
    if let Some(change) = state.unanswered.take().filter(|change| change.to == seen.replicas) {
        memory.changed(change);
    }
    let began = Instant::now();
    let mut fleet = failover::fleet(service, key, now, context.others());
    let Turn { mut decision, failover: shift, mut recovery } =
        turn(&subject.spec, &seen, memory, now, &mut fleet);
    context.shell.metrics.decided(decision.bound_by, began.elapsed());
    failover::tell(service, key, Some(&decision), &seen, (shift.as_ref(), settled), context.others());
    let told = state.written.as_ref().map(|(status, _)| status);
    failover::announce(key, told, shift.as_ref(), context).await;
    let applied = apply(service, key, &seen, &decision, context).await;
    if let Some(recovery) = &mut recovery {
        outliers::replace(recovery, &decision, memory, key, context).await;
    }
    let change = Change { at: now, from: seen.replicas, to: decision.replicas };
    let written = match &applied {
        Applied::Done(scale) => {
            memory.changed(change);
            state.scale.note(scale.clone());
            Written::Changed
        }
        Applied::Nothing => {
            decision.not_made("this process does not lead");
            Written::Nothing
        }
        Applied::Conflict { found, message } => {
            decision.not_made(message);
            found.iter().for_each(|found| state.scale.note(found.clone()));
            Written::Nothing
        }
        Applied::Failed(message) => {
            state.unanswered = Some(change).filter(|change| change.from != change.to);
            decision.not_made(message);
            Written::Failed(message.clone())
        }
    };
    let sooner = [recovery.as_ref().and_then(|it| it.next_look), shift.as_ref().and_then(|it| it.next_look)];
    let next = sooner.into_iter().flatten().fold(decision.next_look, SignedDuration::min);
    schedule(state, &subject.spec, &seen, next, &applied, context.shell.clock.now());
    balancers::bring_about(service, &subject.target, key, state, context).await;
    let told = state.written.as_ref().map(|(status, _)| status);
    let leaving = state.leaving.now(seen.rotation.as_ref(), told, Instant::now());
    state.decided = Some(Instant::now());
    Outcome::Done(Box::new(Done {
        at: now,
        seen: seen.replicas,
        now: if written == Written::Changed { decision.replicas } else { seen.replicas },
        ready: seen.pods.ready(),
        floor: subject.spec.floor(now),
        selector: subject.target.selector.as_ref().map(ToString::to_string),
        decision,
        written,
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
    if !Refusal::is_of_the_answer(reason) {
        // Whoever takes the target over meanwhile makes what is remembered of it worthless.
        (state.memory, state.decided, state.unanswered) = (None, None, None);
    }
    context.shell.board.unscaled(key);
    let mut wait = Duration::from(service.spec.period);
    let mut shift = None;
    if let Some(subject) = subject.as_ref().filter(|subject| subject.target.selector.is_some()) {
        balancers::bring_about(service, &subject.target, key, state, context).await;
    }
    if let Some(subject) = subject.filter(|_| service.spec.failover.is_some()) {
        let seen = observe(service, &subject, key, state, context).await;
        let now = context.shell.clock.now();
        let settled = gateway::is_settled(service, state);
        let mut fleet = failover::fleet(service, key, now, context.others());
        shift = turn_unscaled(&subject.spec, &seen, &mut state.unscaled, now, &mut fleet);
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
    match target.selected() {
        Some(selected) => Pods::Listed(read(&context.pods, |index| {
            index.select(&key.0, selected, target.revision.as_ref())
        })),
        None => Pods::Counted { ready: target.ready },
    }
}

/// The memory of a service that this process looks at for the first time: what Prometheus and status know of the past.
async fn remember(
    service: &ScalableService,
    spec: &Validated,
    key: &Key,
    state: &State,
    context: &Context,
) -> Memory {
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
    let decisions = state.told().map_or(&[][..], |status| report::decisions_of(&service.spec, status));
    let made = decisions.iter().filter(|record| report::changed(record));
    let changes = made.map(|record| Change { at: record.time.0, from: record.from, to: record.to });
    let now = context.shell.clock.now();
    // Earlier changes are unknown: another scaler may have made them, or they have left the ring of decisions.
    let created = service.creation_timestamp().map_or(now, |created| created.0);
    let full = decisions.len() >= ScalableServiceStatus::DECISIONS_MAX;
    let oldest = decisions.last().filter(|_| full);
    let known_since = oldest.map_or(created, |oldest| oldest.time.0.max(created));
    Memory::rebuilt(past_proposals(spec, &histories, now), changes).known_since(known_since)
}

/// Begins a new memory if the target is another one than before: what the other target needed says nothing of this one.
fn follow_target(service: &ScalableService, target: &Target, state: &mut State, now: Timestamp) {
    let is = Some((service.spec.scale_target_ref.clone(), target.uid.clone()));
    if state.target == is {
        return;
    }
    if state.target.is_some() {
        (state.memory, state.unanswered) = (Some(Memory::default().known_since(now)), None);
    }
    state.target = is;
}

/// Whether the last decision is so old that what happened since is not known, for example since the lease was lost or the
/// target could not be read.
fn is_interrupted(service: &ScalableService, state: &State) -> bool {
    let longest = 2 * Duration::from(service.spec.period) + UNSEEN_MAX;
    state.decided.is_some_and(|at| at.elapsed() > longest)
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
    let again = |first| (state.failures.saturating_add(1), backoff(first, state.failures));
    let (failures, wait) = match applied {
        Applied::Nothing | Applied::Done(_) => (0, wait),
        Applied::Conflict { .. } => again(AFTER_CONFLICT),
        Applied::Failed(_) => again(AFTER_FAILURE),
    };
    (state.failures, state.due) = (failures, Instant::now() + wait);
}

/// A pause that doubles with each of the `failures` in a row.
fn backoff(first: Duration, failures: u32) -> Duration {
    (first * (1 << failures.min(5))).min(BACKOFF_MAX)
}

/// Between two looks: what the watches know by now of replicas and pods.
fn refresh(service: &ScalableService, key: &Key, state: &mut State, context: &Context) {
    let Some(Outcome::Done(done)) = &mut state.last else { return };
    let Some(mut target) = context.targets.watched(&key.0, &service.spec.scale_target_ref) else { return };
    state.scale.correct(&mut target);
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
