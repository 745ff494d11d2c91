//! Equal queries are sent once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::kpi::{KpiReader, QueryObserver, SourceConfig};
use plimsoll_api::KpiState;

use crate::support::{LOAD, OBJECTIVE, Recorder, asker, rule};

#[derive(Default)]
struct Log(Mutex<Vec<(String, &'static str)>>);

impl QueryObserver for Log {
    fn on_query(&self, source: &str, result: &'static str, seconds: f64) {
        assert!((0.0..10.0).contains(&seconds));
        self.0.lock().unwrap().push((source.to_owned(), result));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_equal_queries_lead_to_one_request() {
    let recorder = Recorder::start().await;
    recorder.behave(|behaviour| behaviour.delay = Duration::from_millis(100));
    let log = Arc::new(Log::default());
    let config = SourceConfig::new("default", &recorder.server.url());
    let reader = Arc::new(KpiReader::with_observer([config], log.clone()).unwrap());

    let max_age = Duration::from_secs(60);
    let askers: Vec<_> = (0..200)
        .map(|n| {
            let reader = Arc::clone(&reader);
            // The same query in two spellings.
            let query = if n % 2 == 0 {
                "sum(rate(x{a='1',b='2'}[60s]))"
            } else {
                "sum( rate(x{b=\"2\", a=\"1\"}[1m]) )"
            };
            let goal = if n % 3 == 0 { OBJECTIVE } else { LOAD };
            tokio::spawn(async move { reader.ask(&asker(), &[rule(goal, query)], max_age).await })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap()["k"].state, KpiState::Fresh);
    }
    let bodies: Vec<String> = recorder.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), 3, "value, burst and evidence: {bodies:?}");
    assert_eq!(log.0.lock().unwrap().as_slice(), vec![("default".to_owned(), "success"); 3]);

    reader.ask(&asker(), &[rule(LOAD, "sum(rate(x{a='1',b='2'}[60s]))")], max_age).await;
    assert_eq!(recorder.requests().len(), 3, "kept for max_age");
    tokio::time::sleep(Duration::from_millis(50)).await;
    reader.ask(&asker(), &[rule(LOAD, "sum(rate(x{a='1',b='2'}[60s]))")], Duration::from_millis(20)).await;
    assert_eq!(recorder.requests().len(), 6, "and no longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_caller_does_not_cancel_the_query_of_the_others() {
    let recorder = Recorder::start().await;
    recorder.behave(|behaviour| behaviour.delay = Duration::from_millis(300));
    let config = SourceConfig::new("default", &recorder.server.url());
    let reader = Arc::new(KpiReader::new(vec![config]).unwrap());
    let impatient = tokio::spawn({
        let reader = Arc::clone(&reader);
        async move { reader.ask(&asker(), &[rule(LOAD, "sum(x)")], Duration::ZERO).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    impatient.abort();
    let samples = reader.ask(&asker(), &[rule(LOAD, "sum(x)")], Duration::ZERO).await;
    assert_eq!(samples["k"].state, KpiState::Fresh);
    assert_eq!(recorder.requests().len(), 2, "value and evidence of the first caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_queries_are_limited() {
    let recorder = Recorder::start().await;
    recorder.behave(|behaviour| behaviour.delay = Duration::from_millis(200));
    let config = SourceConfig::new("default", &recorder.server.url());
    let config = SourceConfig { max_concurrency: 1, timeout: Duration::from_millis(700).into(), ..config };
    let reader = KpiReader::new(vec![config]).unwrap();
    let rules: Vec<_> = (0..8)
        .map(|n| plimsoll_api::KpiRule { name: format!("k{n}"), ..rule(OBJECTIVE, &format!("vector({n})")) })
        .collect();
    let samples = reader.ask(&asker(), &rules, Duration::ZERO).await;
    let fresh = samples.values().filter(|sample| sample.state == KpiState::Fresh).count();
    assert!((2..=3).contains(&fresh), "{fresh} of 200 ms each fit into 700 ms");
    let queued = "source \"default\" is busy: the query waited 0.7 s for one of 1 slots (maxConcurrency)";
    assert!(samples.values().any(|sample| sample.message.as_deref() == Some(queued)), "{samples:?}");
    assert_eq!(reader.health("default").unwrap().failures, 0, "waiting is not a failure of the source");
}
