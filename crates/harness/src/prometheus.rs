//! A scripted Prometheus: values by query and time, and all kinds of outages.
//!
//! For each scripted query it also answers its burst query, its evidence probe and its query of scrape targets
//! ([`Question`]). Responses are JSON that the reader parses, as those of a real Prometheus.

mod answer;
mod outage;
mod value;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use plimsoll::{
    clock::Clock,
    kpi::{Answer, Failure, Question, Request, Transport},
};
use serde_json::Value as Json;
use tokio::time::sleep;

pub use outage::Outage;
pub use value::Value;

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Network latency of a response.
const ON_THE_WAY: Duration = Duration::from_millis(10);
/// The response of Prometheus to a query that exceeds its time limit.
const GAVE_UP: &str =
    r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#;

type Script = Arc<dyn Fn(Timestamp) -> Value + Send + Sync>;

/// One scripted query.
struct Metric {
    question: Question,
    /// Its scripts, each with the time from which it applies.
    since: Vec<(Timestamp, Script)>,
}

/// The scripted Prometheus; clones share the same state.
#[derive(Clone)]
pub struct Prometheus(Arc<Inner>);

struct Inner {
    clock: Clock,
    scrape_interval: SignedDuration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    metrics: Vec<Metric>,
    outage: Option<Outage>,
    /// Outages of single queries.
    broken: Vec<(Question, Outage)>,
    /// Responses that are repeated during the outage Stale.
    kept: BTreeMap<String, Json>,
    queries: u64,
}

impl Prometheus {
    /// A Prometheus that scrapes at each full second of `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let scrape_interval = SignedDuration::from_secs(1);
        Self(Arc::new(Inner { clock, scrape_interval, state: Mutex::default() }))
    }

    /// From the next scrape on, `query` has the value `value`. Before its first scrape it has no series.
    pub fn set(&self, query: &str, value: impl Into<Value>) {
        let value = value.into();
        self.script(query, move |_| value.clone());
    }

    /// From the next scrape on, `query` has the value that `script` returns for the time of the scrape.
    pub fn script(&self, query: &str, script: impl Fn(Timestamp) -> Value + Send + Sync + 'static) {
        let question = Question::parse(query).expect("PromQL");
        let now = self.0.clock.now();
        let mut state = self.state();
        let script: Script = Arc::new(script);
        match state.metrics.iter_mut().find(|metric| metric.question == question) {
            Some(metric) => metric.since.push((now, script)),
            None => state.metrics.push(Metric { question, since: vec![(now, script)] }),
        }
    }

    /// Starts an outage.
    pub fn break_down(&self, outage: Outage) {
        let mut state = self.state();
        state.outage = Some(outage);
        state.kept.clear();
    }

    /// Starts an outage of `query` and the queries derived from it only.
    pub fn break_query(&self, query: &str, outage: Outage) {
        let question = Question::parse(query).expect("PromQL");
        self.state().broken.push((question, outage));
    }

    /// Ends the outage.
    pub fn heal(&self) {
        self.state().outage = None;
    }

    /// The number of received queries.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.state().queries
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last scrape at or before `at`.
    fn scrape(&self, at: Timestamp) -> Timestamp {
        let interval = self.0.scrape_interval.as_millis();
        let millis = i128::from(at.as_millisecond()).div_euclid(interval) * interval;
        i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(at)
    }

    /// The response of a healthy server.
    fn healthy(&self, request: &Request<'_>) -> Json {
        let state = self.state();
        let now = self.0.clock.now();
        match request {
            Request::Instant(text) => {
                let scrape = self.scrape(now);
                let metric = state.metrics.iter().find(|metric| metric.covers(text));
                let value = metric.map_or(Value::Nothing, |metric| metric.at(scrape));
                // An unscripted query has a probe too.
                let is_probe = match metric {
                    Some(metric) => metric.question.probe() == Some(text),
                    None => text.starts_with("label_replace(vector(time())"),
                };
                if is_probe { answer::probe(&value, now, scrape) } else { answer::vector(&value, now) }
            }
            Request::Range { query, start, end, step } => {
                let metric = state.metrics.iter().find(|metric| metric.covers(query));
                let steps = (*end - *start) as f64 / step;
                let times = (0..=steps.floor() as i64).map(|number| *start + (number as f64 * step) as i64);
                let times = times.filter_map(|second| Timestamp::from_second(second).ok());
                let at = |time| (time, metric.map_or(Value::Nothing, |metric| metric.at(self.scrape(time))));
                match metric.filter(|metric| metric.question.targets() == Some(query)) {
                    Some(metric) => answer::matrix(times.filter_map(|time| {
                        let targets = answer::targets(&metric.at(self.scrape(time)));
                        (targets > 0).then(|| (time, Value::Number(f64::from(targets))))
                    })),
                    None => answer::matrix(times.map(at)),
                }
            }
        }
    }

    async fn answer(&self, request: Request<'_>, limit: Duration) -> Result<Answer, Failure> {
        let (Request::Instant(text) | Request::Range { query: text, .. }) = request;
        let outage = {
            let mut state = self.state();
            state.queries += 1;
            let broken = state.broken.iter().find(|(question, _)| covers(question, text));
            broken.map(|(_, outage)| outage.clone()).or_else(|| state.outage.clone())
        };
        match &outage {
            None => return answer::read(200, &self.healthy(&request)),
            Some(Outage::Down) => {
                sleep(Duration::from_millis(1)).await;
                return Err(Failure::Unreachable("connection closed before message completed".to_owned()));
            }
            Some(Outage::Slow(delay)) => {
                sleep(*delay).await;
                return answer::read(200, &self.healthy(&request));
            }
            Some(Outage::Expensive(time)) => {
                sleep(limit.min(*time) + ON_THE_WAY).await;
                let gave_up = limit < *time;
                return if gave_up {
                    Answer::read(503, GAVE_UP.as_bytes())
                } else {
                    answer::read(200, &self.healthy(&request))
                };
            }
            Some(Outage::Status(code, text)) => return Answer::read(*code, text.as_bytes()),
            Some(Outage::Garbage(text)) => return Answer::read(200, text.as_bytes()),
            Some(Outage::Huge) => return Err(Failure::TooLarge("8 MiB")),
            Some(Outage::Stale) => {
                let fresh = self.healthy(&request);
                let kept = self.state().kept.entry(format!("{request:?}")).or_insert(fresh).clone();
                return answer::read(200, &kept);
            }
            Some(_) => {}
        }
        let mut body = self.healthy(&request);
        outage.into_iter().for_each(|outage| outage.change(&mut body));
        answer::read(200, &body)
    }
}

impl Metric {
    fn covers(&self, text: &str) -> bool {
        covers(&self.question, text)
    }

    fn at(&self, scrape: Timestamp) -> Value {
        let script = self.since.iter().rev().find(|(since, _)| *since <= scrape);
        script.map_or(Value::Nothing, |(_, script)| script(scrape))
    }
}

/// Whether `text` is the query itself or is derived from it.
fn covers(question: &Question, text: &str) -> bool {
    [Some(question.text()), question.burst(), question.probe(), question.targets()].contains(&Some(text))
}

impl Transport for Prometheus {
    fn ask<'a>(&'a self, request: Request<'a>, limit: Duration) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.answer(request, limit).boxed()
    }
}
