//! The queries of one source: each distinct query runs at most once at a time, and concurrent callers share its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::breaker::Outcome;
use super::clock::{ClockMemory, ClockVerdict};
use super::evidence::Reply;
use super::failure::Failure;
use super::health::{Health, SourceHealth};
use super::parts::{QueryObserver, ReaderParts};
use super::recent::Recent;
use super::slots::{Asker, Slots};
use super::source::SourceConfig;
use super::transport::{Request, Transport};
use crate::clock::Clock;

/// Most distinct queries of one source that are kept: 20,000 KPIs with value, burst query and probe.
const QUERIES_MAX: usize = 65_536;
/// Part of the time left until a query's deadline that the server may use; the rest is for the network. So the server aborts
/// an expensive query, and reports it, before we stop waiting.
const SERVER_SHARE: f64 = 0.9;
/// A query without cost, to check whether a server answers at all.
const CHECK: &str = "vector(1)";

/// One source with everything needed to query it.
pub(super) struct Source {
    name: String,
    timeout: Duration,
    stale_after: Duration,
    slots: Arc<Slots>,
    transport: Arc<dyn Transport>,
    health: Mutex<Health>,
    queries: Mutex<Recent<String, Query>>,
    observer: Arc<dyn QueryObserver>,
    clock: Clock,
    /// Start of monotonic times.
    epoch: Instant,
}

/// State of one query.
#[derive(Default)]
struct Query {
    flight: Option<Shared<BoxFuture<'static, Arc<Reply>>>>,
    last: Option<(Duration, Arc<Reply>)>,
    clock: ClockMemory,
}

impl Source {
    /// Opens a validated configuration; the error has a sentence for each unusable file.
    pub(super) fn open(config: &SourceConfig, parts: &ReaderParts<'_>) -> Result<Self, Vec<String>> {
        Ok(Self {
            name: config.name.clone(),
            timeout: config.timeout.into(),
            stale_after: config.stale_after.into(),
            slots: Slots::new(config.max_concurrency),
            transport: (parts.connect)(config)?,
            health: Mutex::new(Health::new()),
            queries: Mutex::new(Recent::new(QUERIES_MAX)),
            observer: Arc::clone(&parts.observer),
            clock: parts.clock.clone(),
            epoch: Instant::now(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn stale_after(&self) -> Duration {
        self.stale_after
    }

    pub(super) fn health(&self) -> SourceHealth {
        lock(&self.health).report()
    }

    /// The server's clock minus ours in seconds; 0 while it is unknown.
    pub(super) fn skew(&self) -> f64 {
        lock(&self.health).skew.unwrap_or_default()
    }

    /// The answer to an instant query, at most `max_age` old. A shared query counts for the service that asked first.
    pub(super) async fn ask(self: &Arc<Self>, asker: &Asker, promql: &str, max_age: Duration) -> Arc<Reply> {
        let flight = {
            let mut queries = lock(&self.queries);
            let query = entry(&mut queries, promql);
            if let Some((received, reply)) = &query.last
                && self.now().saturating_sub(*received) <= max_age
            {
                return Arc::clone(reply);
            }
            // A flight that ended without a recorded result was aborted.
            match &query.flight {
                Some(flight) if flight.peek().is_none() => flight.clone(),
                _ => query.flight.insert(self.start(asker, promql)).clone(),
            }
        };
        flight.await
    }

    /// Runs the query in its own task, so that it ends by its own deadline even if its callers stop waiting.
    fn start(self: &Arc<Self>, asker: &Asker, promql: &str) -> Shared<BoxFuture<'static, Arc<Reply>>> {
        let (source, asker, promql) = (Arc::clone(self), asker.clone(), promql.to_owned());
        let task = tokio::spawn(async move {
            let (result, sent) = source.send(&asker, Request::Instant(&promql)).await;
            source.land(&promql, result, sent)
        });
        task.map(|joined| {
            joined.unwrap_or_else(|_| {
                let result = Err(Failure::Unreachable("the query was aborted".into()));
                Arc::new(Reply { result, clock: ClockVerdict::Sound })
            })
        })
        .boxed()
        .shared()
    }

    fn land(&self, promql: &str, result: Result<Answer, Failure>, sent: Duration) -> Arc<Reply> {
        let received = self.now();
        let mut queries = lock(&self.queries);
        let query = entry(&mut queries, promql);
        let clock = match result.as_ref().ok().and_then(|answer| answer.time) {
            Some(time) => query.clock.observe(time, sent, received),
            None => ClockVerdict::Sound,
        };
        // Not kept while the breaker is open, so that the first query after the pause is sent.
        let keep = !matches!(result, Err(Failure::Resting { .. }));
        let reply = Arc::new(Reply { result, clock });
        query.flight = None;
        if keep {
            query.last = Some((received, Arc::clone(&reply)));
        }
        reply
    }

    /// Sends a query within the deadline, if the breaker permits. Also returns when it was sent.
    pub(super) async fn send(
        self: &Arc<Self>,
        asker: &Asker,
        request: Request<'_>,
    ) -> (Result<Answer, Failure>, Duration) {
        let started = self.now();
        let mut sent = started;
        let result = match self.pass(started) {
            Err(resting) => Err(resting),
            Ok(mut pass) => {
                let result = self.send_within_deadline(asker, request, &mut sent).await;
                self.note(&result);
                pass.outcome = self.outcome(&result, sent);
                drop(pass);
                self.check_if_in_doubt();
                result
            }
        };
        self.observe(&result, started);
        (result, sent)
    }

    async fn send_within_deadline(
        &self,
        asker: &Asker,
        request: Request<'_>,
        sent: &mut Duration,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.timeout;
        let Ok(_slot) = timeout_at(deadline, self.slots.acquire(asker)).await else {
            return Err(self.no_slot(asker));
        };
        // A slot that becomes free exactly at our deadline is useless.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.no_slot(asker));
        }
        *sent = self.now();
        let wall = self.clock.now();
        let answer = timeout_at(deadline, self.transport.ask(request, left.mul_f64(SERVER_SHARE)))
            .await
            .unwrap_or(Err(Failure::TimedOut(self.timeout.as_secs_f64())))?;
        if let Some(server) = answer.time {
            lock(&self.health).skew = Some(skew(server, wall, self.clock.now()));
        }
        Ok(answer)
    }

    fn no_slot(&self, asker: &Asker) -> Failure {
        let seconds = self.timeout.as_secs_f64();
        if self.slots.is_spent(asker) && self.slots.share() < self.slots.total() {
            Failure::ServiceLimit { seconds, slots: self.slots.share() }
        } else {
            Failure::Queued { seconds, slots: self.slots.total() }
        }
    }

    /// The effect on the breaker of a query that was sent at `sent`.
    fn outcome(&self, result: &Result<Answer, Failure>, sent: Duration) -> Outcome {
        let outcome = outcome(result);
        if outcome != Outcome::Unanswered {
            return outcome;
        }
        let answered = lock(&self.health).answered.is_some_and(|answered| answered >= sent);
        // If most of the time was spent waiting for a slot, a timeout says nothing about the source.
        let late = matches!(result, Err(Failure::TimedOut(_)));
        let short = late && self.now().saturating_sub(sent) < self.timeout / 2;
        if answered || short { Outcome::Nothing } else { Outcome::Unanswered }
    }

    /// Sends a constant query if queries were not answered, since these may have been too expensive: the queries of one
    /// service must not open the breaker for all others. Needs no slot, since only one runs at a time.
    fn check_if_in_doubt(self: &Arc<Self>) {
        {
            let mut health = lock(&self.health);
            if health.checking || !health.breaker.in_doubt() {
                return;
            }
            health.checking = true;
        }
        let source = Arc::clone(self);
        tokio::spawn(async move {
            let mut check = Check { source: &source, outcome: Outcome::Nothing };
            let started = source.now();
            let ask = source.transport.ask(Request::Instant(CHECK), source.timeout.mul_f64(SERVER_SHARE));
            let late = || Err(Failure::TimedOut(source.timeout.as_secs_f64()));
            let result = timeout(source.timeout, ask).await.unwrap_or_else(|_| late());
            check.outcome = outcome(&result);
            source.observe(&result, started);
        });
    }

    fn observe(&self, result: &Result<Answer, Failure>, started: Duration) {
        let label = match result {
            Ok(Answer { warning: Some(_), .. }) => "partial",
            Ok(_) => "success",
            Err(failure) => failure.label(),
        };
        self.observer.on_query(&self.name, label, self.now().saturating_sub(started).as_secs_f64());
    }

    fn pass(&self, now: Duration) -> Result<Pass<'_>, Failure> {
        let mut health = lock(&self.health);
        match health.breaker.pass(now) {
            Ok(()) => Ok(Pass { source: self, outcome: Outcome::Nothing }),
            Err(pause) => Err(Failure::Resting {
                seconds: pause.as_secs_f64(),
                failures: health.breaker.failures(),
                last: health.last_error.clone().unwrap_or_default(),
            }),
        }
    }

    fn note(&self, result: &Result<Answer, Failure>) {
        let mut health = lock(&self.health);
        if outcome(result) == Outcome::Answered {
            health.answered = Some(self.now());
        }
        match result {
            Ok(_) => health.last_error = None,
            Err(failure) => health.last_error = Some(failure.to_string()),
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}

/// A query permitted by the breaker. Its outcome is recorded even if its caller stops waiting.
struct Pass<'a> {
    source: &'a Source,
    outcome: Outcome,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        lock(&self.source.health).breaker.record(self.outcome, self.source.now());
    }
}

/// The check whether the source answers at all. Its outcome is recorded however its task ends.
struct Check<'a> {
    source: &'a Source,
    outcome: Outcome,
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        let now = self.source.now();
        let mut health = lock(&self.source.health);
        health.checking = false;
        health.breaker.checked(self.outcome, now);
    }
}

fn outcome(result: &Result<Answer, Failure>) -> Outcome {
    result.as_ref().map_or_else(Failure::outcome, |_| Outcome::Answered)
}

fn entry<'a>(queries: &'a mut Recent<String, Query>, promql: &str) -> &'a mut Query {
    queries.get_or_put(promql.to_owned(), Query::default)
}

fn skew(server: Timestamp, sent: Timestamp, received: Timestamp) -> f64 {
    // The evaluation happened between the two, so a time between them is no skew.
    server.duration_since(server.clamp(sent, received.max(sent))).as_secs_f64()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::skew;

    #[test]
    fn a_slow_answer_is_no_skew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(skew(at(103), at(100), at(105)), 0.0);
        assert_eq!(skew(at(40), at(100), at(105)), -60.0);
        assert_eq!(skew(at(145), at(100), at(105)), 40.0);
    }
}
