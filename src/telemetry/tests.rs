//! The metrics as OpenMetrics text, and the server on a real port.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use strum::IntoEnumIterator;
use tokio::{net::TcpListener, sync::oneshot};

use super::{Health, Metrics, ServiceLook, TrafficLook, WriteResult, serve, table};
use plimsoll_api::{
    ConditionCode, ConditionType, DecisionCode, KpiState, KpiStatus, KpiType, Percent, Verdict,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn kpi(name: &str, state: KpiState, value: f64, age: i64) -> KpiStatus {
    KpiStatus {
        name: name.to_owned(),
        type_: KpiType::Load,
        state,
        value: Some(value),
        target: 120.0,
        used: None,
        proposal: None,
        sample_time: Some(Time(Timestamp::from_second(-age).unwrap())),
        message: Some("dial tcp 10.0.0.1: refused".to_owned()),
    }
}

fn look<'a>(name: &'a str, kpis: &'a [KpiStatus], conditions: &'a [Verdict]) -> ServiceLook<'a> {
    ServiceLook {
        namespace: "shop",
        name,
        desired: Some(7),
        spec: Some(6),
        ready: Some(5),
        min: Some(3),
        max: Some(60),
        kpis,
        traffic: Some(TrafficLook { draining: 2, held: 0, in_sync: 2 }),
        ejected: Some(1),
        away: Percent::new(30),
        conditions,
        now: NOW,
    }
}

fn every_condition() -> Vec<Verdict> {
    ConditionType::iter()
        .map(|type_| Verdict::new(type_, true, DecisionCode::Steady, "a long message"))
        .collect()
}

/// Metrics with at least one series each.
fn full() -> Metrics {
    let health = Health::default();
    health.watch("pods").set();
    let _unsynced = health.watch("scalableservices");
    let metrics = Metrics::new("0.1.0", &health);
    let kpis = [kpi("throughput", KpiState::Fresh, 812.5, 4), kpi("cpu", KpiState::Stale, 0.5, 95)];
    let unknown =
        Verdict { status: None, ..Verdict::new(ConditionType::Ready, true, DecisionCode::Steady, "") };
    let limited = Verdict::new(ConditionType::ScalingLimited, false, ConditionCode::WithinLimits, "");
    metrics.observe(&look("checkout", &kpis, &[unknown, limited]));
    metrics.set_leader(true);
    metrics.set_services(1);
    metrics.decided(DecisionCode::MinReplicas, Duration::from_micros(3));
    metrics.queried("default", "partial", Duration::from_millis(30));
    metrics.scale_written(WriteResult::Ok, Some(Duration::from_millis(800)));
    metrics.scale_written(WriteResult::Conflict, Some(Duration::from_secs(9)));
    metrics.status_written(WriteResult::Forbidden);
    metrics.evicted(WriteResult::TooManyRequests);
    metrics
}

/// The samples: values by series.
fn samples(text: &str) -> BTreeMap<String, String> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let samples: BTreeMap<_, _> = lines
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.into(), value.into()))
        .collect();
    assert_eq!(samples.len(), lines.len(), "duplicate series:\n{text}");
    samples
}

/// The series of services, which have the label `namespace`.
fn of_services(text: &str) -> Vec<String> {
    samples(text).into_keys().filter(|series| series.contains("{namespace=")).collect()
}

#[test]
fn the_text_has_the_recorded_values() {
    let text = full().encode();
    assert!(text.ends_with("# EOF\n"));
    let samples = samples(&text);
    let of = |labels: &str| format!("{{namespace=\"shop\",name=\"checkout\"{labels}}}");
    for (series, value) in [
        (format!("plimsoll_replicas_desired{}", of("")), "7.0"),
        (format!("plimsoll_replicas_spec{}", of("")), "6.0"),
        (format!("plimsoll_replicas_ready{}", of("")), "5.0"),
        (format!("plimsoll_replicas_min{}", of("")), "3.0"),
        (format!("plimsoll_replicas_max{}", of("")), "60.0"),
        (format!("plimsoll_replicas_ejected{}", of("")), "1.0"),
        (format!("plimsoll_standby_weight_ratio{}", of("")), "0.3"),
        ("plimsoll_evictions_total{result=\"too_many_requests\"}".to_owned(), "1"),
        (format!("plimsoll_kpi_value{}", of(",kpi=\"throughput\"")), "812.5"),
        (format!("plimsoll_kpi_target{}", of(",kpi=\"cpu\"")), "120.0"),
        (format!("plimsoll_kpi_state{}", of(",kpi=\"cpu\",state=\"Stale\"")), "1.0"),
        (format!("plimsoll_kpi_sample_age_seconds{}", of(",kpi=\"cpu\"")), "95.0"),
        (format!("plimsoll_condition{}", of(",type=\"Ready\",status=\"Unknown\"")), "1.0"),
        (format!("plimsoll_condition{}", of(",type=\"ScalingLimited\",status=\"False\"")), "1.0"),
        ("plimsoll_build_info{version=\"0.1.0\"}".to_owned(), "1"),
        ("plimsoll_leader".to_owned(), "1"),
        ("plimsoll_services".to_owned(), "1"),
        ("plimsoll_watch_synced{resource=\"pods\"}".to_owned(), "1.0"),
        ("plimsoll_watch_synced{resource=\"scalableservices\"}".to_owned(), "0.0"),
        ("plimsoll_decisions_total{reason=\"MinReplicas\"}".to_owned(), "1"),
        ("plimsoll_decisions_total{reason=\"MaxReplicas\"}".to_owned(), "0"),
        ("plimsoll_evaluation_seconds_count".to_owned(), "1"),
        ("plimsoll_query_seconds_bucket{le=\"0.05\",source=\"default\"}".to_owned(), "1"),
        ("plimsoll_queries_total{source=\"default\",result=\"partial\"}".to_owned(), "1"),
        ("plimsoll_scale_writes_total{result=\"conflict\"}".to_owned(), "1"),
        ("plimsoll_status_writes_total{result=\"forbidden\"}".to_owned(), "1"),
        ("plimsoll_sample_to_write_seconds_sum".to_owned(), "0.8"),
    ] {
        assert_eq!(samples.get(&series).map(String::as_str), Some(value), "{series} in\n{text}");
    }
    let stale = format!("plimsoll_kpi_value{}", of(",kpi=\"cpu\""));
    assert_eq!(samples.get(&stale), None, "a stale value is not exposed");
}

#[test]
fn the_table_and_the_text_name_the_same_metrics_with_the_same_labels() {
    let text = full().encode();
    let series: Vec<String> = samples(&text).into_keys().collect();
    let mut explained = BTreeSet::new();
    for row in table::ALL {
        let kind: &'static str = row.kind.into();
        let family = row.name.trim_end_matches("_total").trim_end_matches("_info");
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family} {kind}");
        assert!(text.contains(&format!("# HELP {family} {}.\n", row.help)), "{family}");
        assert_eq!(text.contains(&format!("# UNIT {family} seconds\n")), row.unit == "seconds", "{family}");
        let names: Vec<String> =
            ["", "_bucket", "_count", "_sum"].map(|part| format!("{}{part}", row.name)).into();
        let own =
            series.iter().filter(|series| names.iter().any(|name| name == series.split('{').next().unwrap()));
        let own: Vec<_> = own.collect();
        assert!(!own.is_empty(), "{} is never exposed", row.name);
        for series in own {
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            let labels = labels
                .split(',')
                .filter_map(|label| Some(label.split_once('=')?.0))
                .filter(|label| *label != "le");
            assert_eq!(labels.collect::<Vec<_>>(), row.labels, "{series}");
            explained.insert(series.clone());
        }
    }
    let unexplained: Vec<_> = series.iter().filter(|series| !explained.contains(*series)).collect();
    assert!(unexplained.is_empty(), "not in the table: {unexplained:?}");
}

#[test]
fn a_service_with_the_most_kpis_has_86_series_and_none_when_forgotten() {
    let metrics = Metrics::new("0.1.0", &Health::default());
    let kpis: Vec<_> =
        (0..20).map(|index| kpi(&format!("kpi-{index:02}"), KpiState::Fresh, 1.0, 1)).collect();
    metrics.observe(&look("checkout", &kpis, &every_condition()));
    assert_eq!(of_services(&metrics.encode()).len(), 86);
    assert_eq!(super::services::series_per_service_max(), 86);

    metrics.observe(&look("search", &kpis, &every_condition()));
    metrics.forget("shop", "checkout");
    metrics.forget("shop", "never-seen");
    let left = of_services(&metrics.encode());
    assert_eq!(left.len(), 86);
    assert!(left.iter().all(|series| series.contains("name=\"search\"")), "{left:?}");
    metrics.forget_all();
    assert_eq!(of_services(&metrics.encode()), Vec::<String>::new());
}

#[test]
fn a_kpi_has_one_state_at_a_time_and_no_series_after_its_removal() {
    let metrics = Metrics::new("0.1.0", &Health::default());
    for state in KpiState::iter() {
        metrics.observe(&look("checkout", &[kpi("cpu", state, 0.5, 1), kpi("rps", state, 1.0, 1)], &[]));
    }
    let states =
        |text: &str| of_services(text).into_iter().filter(|series| series.contains("state=")).count();
    assert_eq!(states(&metrics.encode()), 2);
    metrics.observe(&look("checkout", &[kpi("cpu", KpiState::Fresh, f64::NAN, -30)], &[]));
    let text = metrics.encode();
    assert_eq!(states(&text), 1);
    assert!(!text.contains("rps") && !text.contains("plimsoll_kpi_value"), "{text}");
    let age = "plimsoll_kpi_sample_age_seconds{namespace=\"shop\",name=\"checkout\",kpi=\"cpu\"} 0.0\n";
    assert!(text.contains(age), "the age of a sample from the future is 0 s:\n{text}");
}

#[test]
fn no_label_holds_an_error_or_a_message() {
    let text = full().encode();
    assert!(!text.contains("refused") && !text.contains("long message"), "{text}");
}

#[test]
fn an_unknown_value_has_no_series() {
    let metrics = Metrics::new("0.1.0", &Health::default());
    metrics.observe(&ServiceLook {
        ready: None,
        desired: None,
        traffic: None,
        ejected: None,
        away: None,
        ..look("checkout", &[], &[])
    });
    assert_eq!(of_services(&metrics.encode()).len(), 3);
}

#[test]
fn the_documentation_has_a_line_for_each_metric() {
    let text = Metrics::table();
    assert_eq!(text.lines().filter(|line| line.starts_with("| `plimsoll_")).count(), table::ALL.len());
    let line = "| `plimsoll_kpi_state` | gauge | `namespace`, `name`, `kpi`, `state` |  | 1 for the current state of \
                the KPI's sample; the other states are absent. |\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("at most 86 series"), "{text}");
}

#[test]
fn status_codes_of_writes_are_mapped_to_results() {
    for (code, result) in [
        (200, "ok"),
        (201, "ok"),
        (403, "forbidden"),
        (404, "not_found"),
        (409, "conflict"),
        (429, "too_many_requests"),
        (500, "error"),
    ] {
        assert_eq!(<&str>::from(WriteResult::of_status(code)), result, "{code}");
    }
}

/// A server on its own port. It stops when the sender is used or dropped.
async fn server(
    health: Health,
) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let metrics = Arc::new(Metrics::new("0.1.0", &health));
    let shutdown = async move { stopped.await.unwrap_or(()) };
    (url, stop, tokio::spawn(serve(listener, health, metrics, shutdown)))
}

async fn get(url: &str, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn ready_once_every_watch_has_synced() {
    let health = Health::default();
    let (url, _stop, _task) = server(health.clone()).await;
    assert_eq!(get(&url, "/readyz").await, (503, "[-]watches not started\nreadyz check failed\n".to_owned()));
    let (pods, services) = (health.watch("pods"), health.watch("scalableservices"));
    services.set();
    let list = "[-]pods not synced\n[+]scalableservices ok\nreadyz check failed\n";
    assert_eq!(get(&url, "/readyz").await, (503, list.to_owned()));
    pods.set();
    assert_eq!(get(&url, "/readyz").await, (200, "ok\n".to_owned()));
    let list = "[+]pods ok\n[+]scalableservices ok\nreadyz check passed\n";
    assert_eq!(get(&url, "/readyz?verbose").await, (200, list.to_owned()));
    assert_eq!(get(&url, "/readyz?verbose=false").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn alive_while_the_loop_makes_progress() {
    let health = Health::with_stale_after(Duration::from_millis(300));
    let (url, _stop, _task) = server(health.clone()).await;
    health.beat();
    assert_eq!(get(&url, "/livez").await, (200, "ok\n".to_owned()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (status, complaint) = get(&url, "/livez").await;
    assert_eq!(status, 503);
    assert!(complaint.starts_with("the main loop made no progress for "), "{complaint}");
    health.beat();
    assert_eq!(get(&url, "/livez").await.0, 200);
}

#[tokio::test]
async fn metrics_are_openmetrics_and_nothing_else_is_served() {
    let health = Health::default();
    health.watch("pods").set();
    let (url, _stop, _task) = server(health).await;
    let answer = reqwest::get(format!("{url}/metrics")).await.unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("plimsoll_watch_synced{resource=\"pods\"} 1.0\n") && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert_eq!(get(&url, "/debug").await.0, 404);
    let client = reqwest::Client::new();
    assert_eq!(client.post(format!("{url}/metrics")).send().await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn a_shutdown_ends_the_server_even_if_a_client_never_finishes_its_request() {
    use tokio::io::AsyncWriteExt as _;

    let (url, stop, task) = server(Health::default()).await;
    let mut client = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.unwrap();
    assert_eq!(get(&url, "/livez").await.0, 200);
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(6), task).await.expect("the server ends within 3 s");
    ended.unwrap().unwrap();
    assert!(reqwest::get(format!("{url}/livez")).await.is_err(), "the port is closed");
}
