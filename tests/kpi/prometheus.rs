//! KPIs from a real Prometheus with real scrapes.

use std::time::Duration;

use jiff::Timestamp;
use plimsoll::kpi::{KpiReader, Question, SourceConfig};
use plimsoll_api::{KpiState, VolumeRule};
use plimsoll_engine::{Value, Volume};

use crate::support::{AVERAGE, Exporter, LOAD, OBJECTIVE, Prometheus, ask, asker, eventually, rule};

const RATE: &str = "sum(rate(app_requests_total[5s]))";

fn reader(prometheus: &Prometheus, stale_after: Duration) -> KpiReader {
    // Users write a trailing slash.
    let config = SourceConfig::new("default", &format!("{}/", prometheus.url));
    KpiReader::new(vec![SourceConfig { stale_after: stale_after.into(), ..config }]).unwrap()
}

fn single(value: Option<Value>) -> f64 {
    match value {
        Some(Value::Single(number)) => number,
        other => panic!("{other:?} is not one number"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_answer_is_recognized() {
    let (one, two) = (Exporter::start().await, Exporter::start().await);
    let prometheus = Prometheus::start(&[&one, &two]).await;
    let reader = reader(&prometheus, Duration::from_secs(10));

    let load = ask(&reader, LOAD, RATE).await;
    assert_eq!((load.state, load.targets, &load.message), (KpiState::Fresh, Some(2), &None));
    assert!((150.0..250.0).contains(&single(load.value)), "two targets with 100 each");
    assert!((150.0..250.0).contains(&load.newest.unwrap()), "{:?}", load.newest);
    let age = Timestamp::now().duration_since(load.at.unwrap()).as_secs_f64();
    assert!((0.0..3.0).contains(&age), "{age}");
    assert_eq!(ask(&reader, OBJECTIVE, RATE).await.newest, None, "only loads have a burst query");

    let cpu = ask(&reader, AVERAGE, "avg by (pod) (app_cpu)").await;
    assert_eq!(cpu.value, Some(Value::ByPod([("a".to_owned(), 0.25), ("b".to_owned(), 0.75)].into())));
    assert_eq!(ask(&reader, LOAD, "vector(3)").await.value, Some(Value::Single(3.0)));
    assert_eq!(ask(&reader, LOAD, "3").await.state, KpiState::Fresh);

    for (goal, query, state, message) in [
        (
            LOAD,
            "sum(rate(no_such_total[1m]))",
            KpiState::Empty,
            "source \"default\" has no series for the query",
        ),
        (LOAD, "sum(app_queue) > 1000", KpiState::Empty, "although the query's series have current samples"),
        (LOAD, "sum(no_such_total) or vector(0)", KpiState::Stale, "set onEmpty: Zero instead"),
        (OBJECTIVE, "0 * sum(app_queue) / 0", KpiState::NaN, "the answer is NaN"),
        (OBJECTIVE, "sum(app_queue) / 0", KpiState::NaN, "the answer is inf"),
        (
            AVERAGE,
            "app_queue",
            KpiState::Error,
            "query returned 2 series; it must return one number, or one series for each pod",
        ),
        (
            LOAD,
            "app_cpu",
            KpiState::Error,
            "query returned 4 series; for type Load it must return one number: use sum()",
        ),
        (LOAD, "sum(rate(app_requests_total[1m])", KpiState::Error, "never closed"),
        (
            LOAD,
            "app_cpu + on () app_queue",
            KpiState::Error,
            "source \"default\" refused the query (execution): ",
        ),
        // Our parser accepts functions that this Prometheus lacks.
        (
            LOAD,
            "sum(histogram_avg(app_queue))",
            KpiState::Error,
            "source \"default\" refused the query (bad_data): ",
        ),
    ] {
        let sample = ask(&reader, goal, query).await;
        let text = sample.message.clone().unwrap_or_default();
        assert!(sample.state == state && text.contains(message), "{query}: {sample:?}");
    }
    let elsewhere = plimsoll_api::KpiRule { source: "thanos".into(), ..rule(LOAD, RATE) };
    let sample = reader.ask(&asker(), &[elsewhere], Duration::ZERO).await.remove("k").unwrap();
    let expected = "source \"thanos\" is not in the operator's configuration, which has: default";
    assert_eq!((sample.state, sample.message.as_deref()), (KpiState::Error, Some(expected)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_volume_behind_an_answer_is_counted_where_needed() {
    let one = Exporter::start().await;
    let prometheus = Prometheus::start(&[&one]).await;
    let reader = reader(&prometheus, Duration::from_secs(10));
    let share = "sum(rate(app_requests_total[5s])) / sum(rate(app_requests_total[5s]))";
    let volume = async |query: &str, volume: VolumeRule| {
        let rule = plimsoll_api::KpiRule { volume, ..rule(OBJECTIVE, query) };
        reader.ask(&asker(), &[rule], Duration::ZERO).await.remove("k").unwrap().volume
    };
    let counted = volume(share, VolumeRule::OfQuery).await.total().unwrap();
    assert!((300.0..700.0).contains(&counted), "{counted} of 100 a second within 5 s");
    assert_eq!(volume(share, VolumeRule::Unused).await, Volume::Uncounted);
    assert_eq!(volume("sum(app_queue)", VolumeRule::OfQuery).await, Volume::Uncounted);
    let by = |query: &str| VolumeRule::Query(query.to_owned());
    assert_eq!(volume(share, by("sum(app_queue)")).await.total(), Some(7.0));
    assert_eq!(volume(share, by("sum(no_such_total)")).await.total(), Some(0.0));
    let wrong = volume(share, by("sum(")).await;
    assert!(matches!(&wrong, Volume::Unknown(why) if why.starts_with("volumeQuery: ")), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_targets_are_missing_and_then_no_sample_is_fresh() {
    let (one, two) = (Exporter::start().await, Exporter::start().await);
    let prometheus = Prometheus::start(&[&one, &two]).await;
    let reader = reader(&prometheus, Duration::from_secs(10));
    let rate = "sum(rate(app_requests_total[1m]))";
    assert_eq!(ask(&reader, LOAD, rate).await.targets, Some(2));

    drop(two);
    let half = eventually("one target is missed", Duration::from_secs(15), || async {
        Some(ask(&reader, LOAD, rate).await).filter(|sample| sample.targets == Some(1))
    })
    .await;
    assert_eq!(half.state, KpiState::Fresh, "the engine decides what a missing target means");

    drop(one);
    let ended = eventually("no target is left", Duration::from_secs(15), || async {
        Some(ask(&reader, LOAD, rate).await).filter(|sample| sample.targets == Some(0))
    })
    .await;
    assert_eq!(ended.state, KpiState::Stale, "{ended:?}");
    assert!(single(ended.value) > 0.0, "the rate still has a value: the case to detect");
    let gauge = ask(&reader, LOAD, "sum(app_queue)").await;
    assert_eq!((gauge.state, gauge.value), (KpiState::Empty, None));
}

/// As after a rollout: the first error creates the first series with that status code, for one replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_errors_is_not_a_missing_target_but_an_unscraped_one_is() {
    let (one, two) = (Exporter::start().await, Exporter::start().await);
    let prometheus = Prometheus::start(&[&one, &two]).await;
    let reader = reader(&prometheus, Duration::from_secs(10));
    let errors = r#"sum(rate(app_requests_total{job="app",code=~"5.."}[5s]))"#;
    let share = format!(r#"{errors} / sum(rate(app_requests_total{{job="app"}}[5s]))"#);
    let no_success = r#"sum(rate(app_requests_total{job="app",code!~"2.."}[5s]))"#;
    let named = r#"sum(rate(app_requests_total{job="app",code="500"}[5s]))"#;
    assert_eq!(ask(&reader, OBJECTIVE, errors).await.state, KpiState::Empty, "no replica has had an error");

    one.fail();
    for query in [errors, share.as_str(), no_success, named] {
        let first = eventually("the first error was scraped twice", Duration::from_secs(15), || async {
            Some(ask(&reader, OBJECTIVE, query).await).filter(|sample| sample.state == KpiState::Fresh)
        })
        .await;
        assert_eq!(first.targets, Some(2), "{query}: {first:?}");
    }

    drop(two);
    for query in [errors, share.as_str(), no_success, named] {
        eventually("the removed target is missing", Duration::from_secs(15), || async {
            Some(ask(&reader, OBJECTIVE, query).await).filter(|sample| sample.targets == Some(1))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_become_stale_when_scrapes_stop() {
    let exporter = Exporter::start().await;
    let prometheus = Prometheus::start(&[&exporter]).await;
    let reader = reader(&prometheus, Duration::from_secs(3));
    let pushed = ask(&reader, LOAD, "sum(app_pushed)").await;
    assert_eq!((pushed.state, single(pushed.value)), (KpiState::Fresh, 5.0));
    exporter.stop_pushing();
    let stale = eventually("the sample is older than 3 s", Duration::from_secs(15), || async {
        Some(ask(&reader, LOAD, "sum(app_pushed)").await).filter(|sample| sample.state == KpiState::Stale)
    })
    .await;
    assert_eq!(single(stale.value), 5.0, "the last known value");
    let message = stale.message.unwrap();
    assert!(message.ends_with(" s old; source \"default\" allows 3 s"), "{message}");
    assert_eq!(ask(&reader, LOAD, "sum(app_queue)").await.state, KpiState::Fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_shows_in_the_newest_value_before_the_average() {
    let exporter = Exporter::start().await;
    let prometheus = Prometheus::start(&[&exporter]).await;
    let reader = reader(&prometheus, Duration::from_secs(10));
    exporter.set_per_second(10_000);
    let (newest, average) = eventually("the jump was scraped", Duration::from_secs(10), || async {
        let sample = ask(&reader, LOAD, "sum(increase(app_requests_total[10s])) / 10").await;
        sample.newest.filter(|newest| *newest > 1000.0).map(|newest| (newest, single(sample.value)))
    })
    .await;
    assert!(newest > 3.0 * average, "{newest} is not far above {average}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_as_numbers_at_the_requested_times() {
    let exporter = Exporter::start().await;
    let prometheus = Prometheus::start(&[&exporter]).await;
    let reader = reader(&prometheus, Duration::from_secs(10));
    let (window, step) = (Duration::from_secs(300), Duration::from_secs(1));
    let past = reader.history(&asker(), &rule(LOAD, "sum(app_queue)"), window, step).await.unwrap();
    assert!(past.len() >= 3 && past.iter().all(|(_, value)| *value == 7.0), "{past:?}");
    assert!(past.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let age = Timestamp::now().duration_since(past.last().unwrap().0).as_secs_f64();
    assert!((0.0..5.0).contains(&age), "{age}");

    let cpu = reader.history(&asker(), &rule(AVERAGE, "avg by (pod) (app_cpu)"), window, step).await.unwrap();
    assert_eq!(cpu.last().unwrap().1, 0.5);
    assert_eq!(reader.history(&asker(), &rule(LOAD, "sum(no_such)"), window, step).await, Ok(Vec::new()));
    let year = Duration::from_secs(365 * 86_400);
    assert!(
        reader.history(&asker(), &rule(LOAD, "sum(app_queue)"), year, step).await.is_ok(),
        "the points are bounded"
    );
    let error = reader.history(&asker(), &rule(LOAD, "app_cpu"), window, step).await.unwrap_err();
    assert_eq!(error, "query returned 2 series; its history can only be read from one series");
}

/// Derived queries are valid PromQL, and the canonical form has the same answer as the original.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_accepts_every_text_that_is_derived_from_a_query() {
    let exporter = Exporter::start().await;
    let prometheus = Prometheus::start(&[&exporter]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let run = async |query: &str| -> serde_json::Value {
        let at = Timestamp::now().as_second().to_string();
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", prometheus.url)).unwrap();
        url.query_pairs_mut().append_pair("query", query).append_pair("time", &at);
        let text = http.get(url).send().await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {text}");
        answer["data"]["result"].as_array().unwrap().iter().map(|one| one["metric"].clone()).collect()
    };
    for query in [
        RATE,
        r#"sum by (code) (rate(app_requests_total{code=~"2..|5..", job!="x"}[1m] offset 1s))"#,
        r#"histogram_quantile(0.99, sum by (le) (rate(app_seconds_bucket[1m])))"#,
        "(sum(rate(app_requests_total[1m])) or vector(0)) / on () group_left () sum(app_queue)",
        "max_over_time(sum(rate(app_requests_total[10s]))[30s:5s])",
        "-app_queue ^ 2 + 1e3 * (app_queue % 3) > bool 0.5",
        "topk(1, app_cpu) unless app_queue",
        "quantile without (pod) (0.5, app_cpu)",
        r#"label_replace(app_queue, "a", "$1", "job", "(.*)")"#,
        r#"count_values("v", app_queue)"#,
        "app_queue @ end() - app_queue offset 1m",
        "sum(increase(app_requests_total[1m30s])) / 90",
        "absent(no_such_series)",
        r#"sum(app_requests_total{code=~"5..|2\\d+",job!="",instance!~"x|\"y\""})"#,
    ] {
        let question = Question::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(run(query).await, run(question.text()).await, "{query} became {}", question.text());
        for made in question.burst().into_iter().chain(question.probe()) {
            run(made).await;
        }
    }
}
