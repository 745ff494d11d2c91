//! One source at work: each distinct query is out at most once, and who asks the same meanwhile shares its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::breaker::{Breaker, BreakerState, Outcome};
use super::clock::{ClockMemory, ClockVerdict};
use super::evidence::Heard;
use super::failure::Failure;
use super::parts::{QueryObserver, ReaderParts};
use super::recent::Recent;
use super::slots::{Asker, Slots};
use super::source::SourceConfig;
use super::transport::{Request, Transport};
use crate::clock::Clock;

/// Distinct queries of one source that are remembered: 20,000 KPIs with value, burst twin and probe.
const QUERIES_MAX: usize = 65_536;
/// A difference between the clocks that is worth telling.
const SKEW_REPORTED: f64 = 30.0;
/// Share of what is left until a query's deadline that the server may take: the rest is for the way. So the server gives an
/// expensive query up, and says so, before we stop waiting.
const SERVER_SHARE: f64 = 0.9;
/// A query that costs a server nothing: whether it answers at all.
const CHECK: &str = "vector(1)";

/// One source with everything that it needs to be asked.
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
    /// What monotonic times are counted from.
    epoch: Instant,
}

/// How a source is.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHealth {
    /// What happens to the next query.
    pub breaker: BreakerState,
    /// Failures of the source since its last answer; refused queries are none.
    pub failures: u32,
    /// What the last query that failed said, refused ones included; `None` once one succeeds.
    pub last_error: Option<String>,
    /// The source's clock minus ours, if they differ by more than 30 s. It makes nothing stale by itself.
    pub skew_seconds: Option<f64>,
}

struct Health {
    breaker: Breaker,
    /// Whether the query is out that tells if the source answers at all.
    checking: bool,
    /// When the last answer came, a refusal of one query included.
    answered: Option<Duration>,
    last_error: Option<String>,
    /// The server's clock minus ours, as far as the time of the round trip does not explain it.
    skew: Option<f64>,
}

/// What is known of one query.
#[derive(Default)]
struct Query {
    flight: Option<Shared<BoxFuture<'static, Arc<Heard>>>>,
    last: Option<(Duration, Arc<Heard>)>,
    clock: ClockMemory,
}

impl Source {
    /// Opens a checked configuration; the error has a sentence for each file that can't be used.
    pub(super) fn open(config: &SourceConfig, parts: &ReaderParts<'_>) -> Result<Self, Vec<String>> {
        Ok(Self {
            name: config.name.clone(),
            timeout: config.timeout.into(),
            stale_after: config.stale_after.into(),
            slots: Slots::new(config.max_concurrency),
            transport: (parts.connect)(config)?,
            health: Mutex::new(Health {
                breaker: Breaker::new(),
                checking: false,
                answered: None,
                last_error: None,
                skew: None,
            }),
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
        let health = lock(&self.health);
        SourceHealth {
            breaker: health.breaker.state(),
            failures: health.breaker.failures(),
            last_error: health.last_error.clone(),
            skew_seconds: health.skew.filter(|skew| skew.abs() > SKEW_REPORTED),
        }
    }

    /// The server's clock minus ours in seconds; 0 as long as it is not known.
    pub(super) fn skew(&self) -> f64 {
        lock(&self.health).skew.unwrap_or_default()
    }

    /// The answer to an instant query, at most `max_age` old. A query that is sent counts as that of the first who asks.
    pub(super) async fn ask(self: &Arc<Self>, asker: &Asker, promql: &str, max_age: Duration) -> Arc<Heard> {
        let flight = {
            let mut queries = lock(&self.queries);
            let query = entry(&mut queries, promql);
            if let Some((received, heard)) = &query.last
                && self.now().saturating_sub(*received) <= max_age
            {
                return Arc::clone(heard);
            }
            // A flight that has ended without landing was cut off.
            match &query.flight {
                Some(flight) if flight.peek().is_none() => flight.clone(),
                _ => query.flight.insert(self.start(asker, promql)).clone(),
            }
        };
        flight.await
    }

    /// In a task of its own: it ends by its own deadline, whoever stops waiting for it.
    fn start(self: &Arc<Self>, asker: &Asker, promql: &str) -> Shared<BoxFuture<'static, Arc<Heard>>> {
        let (source, asker, promql) = (Arc::clone(self), asker.clone(), promql.to_owned());
        let task = tokio::spawn(async move {
            let (result, sent) = source.send(&asker, Request::Instant(&promql)).await;
            source.land(&promql, result, sent)
        });
        task.map(|joined| {
            joined.unwrap_or_else(|_| {
                let result = Err(Failure::Unreachable("the query was cut off".into()));
                Arc::new(Heard { result, clock: ClockVerdict::Sound })
            })
        })
        .boxed()
        .shared()
    }

    fn land(&self, promql: &str, result: Result<Answer, Failure>, sent: Duration) -> Arc<Heard> {
        let received = self.now();
        let mut queries = lock(&self.queries);
        let query = entry(&mut queries, promql);
        let clock = match result.as_ref().ok().and_then(|answer| answer.time) {
            Some(time) => query.clock.observe(time, sent, received),
            None => ClockVerdict::Sound,
        };
        // Resting costs the source nothing, so it is not kept: the first question after the pause should go out.
        let keep = !matches!(result, Err(Failure::Resting { .. }));
        let heard = Arc::new(Heard { result, clock });
        query.flight = None;
        if keep {
            query.last = Some((received, Arc::clone(&heard)));
        }
        heard
    }

    /// Sends a query within the deadline, if the breaker lets it pass. Also returns when it went out.
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
        // A slot that came free by the deadline of another is of no use at our own.
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
            Failure::Crowded { seconds, slots: self.slots.share() }
        } else {
            Failure::Queued { seconds, slots: self.slots.total() }
        }
    }

    /// What a query that was sent at `sent` says of the source.
    fn outcome(&self, result: &Result<Answer, Failure>, sent: Duration) -> Outcome {
        let outcome = outcome(result);
        if outcome != Outcome::Unanswered {
            return outcome;
        }
        let answered = lock(&self.health).answered.is_some_and(|answered| answered >= sent);
        // It spent its time in the queue: that the rest was too short says nothing of the source.
        let late = matches!(result, Err(Failure::TimedOut(_)));
        let short = late && self.now().saturating_sub(sent) < self.timeout / 2;
        if answered || short { Outcome::Nothing } else { Outcome::Unanswered }
    }

    /// Asks for a constant if queries had no answer, since they may have been too expensive: one service's queries must
    /// not close the source for all others. Needs no slot, since only one is out at a time.
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

/// A query that the breaker let pass. It is recorded even if who asked went away.
struct Pass<'a> {
    source: &'a Source,
    outcome: Outcome,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        lock(&self.source.health).breaker.record(self.outcome, self.source.now());
    }
}

/// The query that tells whether the source answers at all. It is recorded however its task ends.
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
    // The evaluation was between the two, so what lies between them is no skew.
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
