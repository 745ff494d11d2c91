//! A Prometheus that answers what the test says: values by query and time, and every way of not answering well.
//!
//! It knows three questions of a query: its value, its burst twin and its evidence probe ([`Question`]). Answers are
//! JSON that the reader parses, as those of a real one.

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

/// Time that an answer takes over the network.
const ON_THE_WAY: Duration = Duration::from_millis(10);
/// What Prometheus answers when the time limit of a query is over.
const GAVE_UP: &str =
    r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#;

type Script = Arc<dyn Fn(Timestamp) -> Value + Send + Sync>;

/// One query as it was scripted.
struct Metric {
    question: Question,
    /// What it answers from each time on.
    since: Vec<(Timestamp, Script)>,
}

/// The scripted Prometheus; clones are the same one.
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
    /// What is wrong with single queries.
    broken: Vec<(Question, Outage)>,
    /// Answers that are repeated while they are stale.
    kept: BTreeMap<String, Json>,
    asked: u64,
}

impl Prometheus {
    /// One that scrapes at each full second of `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let scrape_interval = SignedDuration::from_secs(1);
        Self(Arc::new(Inner { clock, scrape_interval, state: Mutex::default() }))
    }

    /// From the next scrape on `query` answers with `value`. Before the first one it has no series.
    pub fn set(&self, query: &str, value: impl Into<Value>) {
        let value = value.into();
        self.script(query, move |_| value.clone());
    }

    /// From the next scrape on `query` answers with what `script` says of the time of a scrape.
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

    /// The outage begins.
    pub fn break_down(&self, outage: Outage) {
        let mut state = self.state();
        state.outage = Some(outage);
        state.kept.clear();
    }

    /// From now on this is wrong with `query`, its burst twin and its evidence probe, whatever the others answer.
    pub fn break_query(&self, query: &str, outage: Outage) {
        let question = Question::parse(query).expect("PromQL");
        self.state().broken.push((question, outage));
    }

    /// The outage is over.
    pub fn heal(&self) {
        self.state().outage = None;
    }

    /// How many queries have arrived.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.state().asked
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

    /// The answer of a healthy server.
    fn healthy(&self, request: &Request<'_>) -> Json {
        let state = self.state();
        let now = self.0.clock.now();
        match request {
            Request::Instant(text) => {
                let scrape = self.scrape(now);
                let metric = state.metrics.iter().find(|metric| metric.asks(text));
                let value = metric.map_or(Value::Nothing, |metric| metric.at(scrape));
                // A query that no test has scripted has a probe all the same.
                let is_probe = match metric {
                    Some(metric) => metric.question.probe() == Some(text),
                    None => text.starts_with("label_replace(vector(time())"),
                };
                if is_probe { answer::probe(&value, now, scrape) } else { answer::vector(&value, now) }
            }
            Request::Range { query, start, end, step } => {
                let metric = state.metrics.iter().find(|metric| metric.asks(query));
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
            state.asked += 1;
            let broken = state.broken.iter().find(|(question, _)| asks(question, text));
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
    fn asks(&self, text: &str) -> bool {
        asks(&self.question, text)
    }

    fn at(&self, scrape: Timestamp) -> Value {
        let script = self.since.iter().rev().find(|(since, _)| *since <= scrape);
        script.map_or(Value::Nothing, |(_, script)| script(scrape))
    }
}

/// Whether `text` is a query that is made of the question.
fn asks(question: &Question, text: &str) -> bool {
    [Some(question.text()), question.burst(), question.probe(), question.targets()].contains(&Some(text))
}

impl Transport for Prometheus {
    fn ask<'a>(&'a self, request: Request<'a>, limit: Duration) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.answer(request, limit).boxed()
    }
}
