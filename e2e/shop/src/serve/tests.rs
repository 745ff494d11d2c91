use super::*;
use crate::args::{Cli, Role};
use clap::Parser as _;

fn args(flags: &str) -> ServeArgs {
    let all = ["plimsoll-shop", "serve"].into_iter().chain(flags.split_whitespace());
    match Cli::try_parse_from(all).expect("valid").role {
        Role::Serve(args) => args,
        _ => panic!("not a service"),
    }
}

/// A running service: its URL, its stop, and its end.
struct Running {
    url: Uri,
    stop: tokio::sync::watch::Sender<bool>,
    end: tokio::task::JoinHandle<anyhow::Result<()>>,
}

async fn start(flags: &str) -> Running {
    let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address")).parse().expect("url");
    let (stop, stopped) = Stop::by_hand();
    Running { url, stop, end: tokio::spawn(run_on(listener, args(flags), stopped)) }
}

impl Running {
    async fn ask(&self, path: &str) -> (u16, String) {
        self.send(Request::get(http::join(&self.url, path).expect("url")), "").await
    }

    async fn post(&self, path: &str, body: &'static str) -> (u16, String) {
        self.send(Request::post(http::join(&self.url, path).expect("url")), body).await
    }

    async fn send(&self, request: axum::http::request::Builder, body: &'static str) -> (u16, String) {
        let request = request.body(Body::from(body)).expect("request");
        let (status, body) =
            http::call(&http::client(), request, Duration::from_secs(5)).await.expect("answer");
        (status.as_u16(), String::from_utf8(body.to_vec()).expect("text"))
    }
}

#[tokio::test]
async fn a_slow_start_is_unready_and_then_serves() {
    let shop = start("--startup 600ms --service-time 1ms").await;
    assert_eq!(shop.ask("/healthz").await.0, 200);
    assert_eq!(shop.ask("/readyz").await, (503, "starting\n".to_owned()));
    assert_eq!(shop.ask("/").await, (503, "starting\n".to_owned()));
    tokio::time::sleep(Duration::from_millis(620)).await;
    assert_eq!(shop.ask("/readyz").await.0, 200);
    assert_eq!(shop.ask("/any/path?q=1").await, (200, "ok\n".to_owned()));
    let (_, metrics) = shop.ask("/metrics").await;
    assert!(metrics.contains("http_requests_total{code=\"503\"} 1\n"), "{metrics}");
    assert!(metrics.contains("http_requests_total{code=\"200\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn cost_multiplies_the_time_and_an_invalid_cost_is_refused() {
    let shop = start("--service-time 20ms --service-jitter 0").await;
    let costly = |cost: &str| Request::get(shop.url.clone()).header(COST_HEADER, cost);
    let begun = Instant::now();
    assert_eq!(shop.send(costly("5.0"), "").await.0, 200);
    assert!((100..500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    for cost in ["0", "-1", "x", "1e9"] {
        let (code, text) = shop.send(costly(cost), "").await;
        assert!(code == 400 && text.contains("above 0 and at most 1000"), "{code} {text}");
    }
}

#[tokio::test]
async fn each_fault_has_its_effect() {
    let shop = start("--service-time 10ms --service-jitter 0 --workers 8 --seed 1").await;
    let (code, text) = shop.post("/fault", "{\"errors\": 2}").await;
    assert!(code == 400 && text.contains("from 0 to 1"), "{text}");

    assert_eq!(shop.post("/fault", "{\"errors\": 1, \"unready\": true}").await.0, 200);
    assert_eq!(shop.ask("/").await, (500, "injected error\n".to_owned()));
    assert_eq!(shop.ask("/readyz").await.0, 503);

    assert_eq!(shop.post("/fault", "{\"slow\": 10}").await.0, 200);
    let begun = Instant::now();
    assert_eq!(shop.ask("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100));

    let begun = Instant::now();
    shop.post("/fault", "{\"hang\": true, \"ttlSeconds\": 0.5}").await;
    assert_eq!(shop.ask("/readyz").await.0, 200, "probes answer while requests hang");
    assert_eq!(shop.ask("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(shop.ask("/fault").await.1.contains("\"hang\":false"));
}

#[tokio::test]
async fn a_failing_downstream_fails_the_request_and_a_slow_one_occupies_the_worker() {
    let back = start("--service-time 50ms --service-jitter 0").await;
    let flags = format!("--service-time 10ms --service-jitter 0 --workers 1 --downstream {}", back.url);
    let front = start(&flags).await;
    let begun = Instant::now();
    assert_eq!(front.ask("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
    back.post("/fault", "{\"errors\": 1}").await;
    let (code, text) = front.ask("/").await;
    assert!(code == 500 && text.contains("answered 500"), "{text}");
    assert!(back.ask("/metrics").await.1.contains("http_requests_total{code=\"500\"} 1\n"));
}

#[tokio::test]
async fn an_aborted_request_is_counted_and_its_worker_finishes() {
    let shop = start("--service-time 500ms --service-jitter 0 --workers 1").await;
    let request = Request::get(shop.url.clone()).body(Body::empty()).expect("request");
    let gone = http::call(&http::client(), request, Duration::from_millis(50)).await;
    assert!(gone.is_err());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (_, metrics) = shop.ask("/metrics").await;
    assert!(metrics.contains("http_requests_total{code=\"499\"} 1\n"), "{metrics}");
    let begun = Instant::now();
    assert_eq!(shop.ask("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(650), "it waited for the worker: {:?}", begun.elapsed());
}

#[tokio::test]
async fn draining_serves_until_the_end_of_the_delay_and_loses_no_request() {
    let shop = start("--service-time 800ms --service-jitter 0 --drain-delay 500ms").await;
    let slow = Request::get(shop.url.clone()).body(Body::empty()).expect("request");
    let in_flight =
        tokio::spawn(async move { http::call(&http::client(), slow, Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    shop.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(shop.ask("/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(shop.ask("/healthz").await.0, 200);
    // It begins during the drain and ends after the listener is closed.
    assert_eq!(shop.ask("/").await.0, 200);
    assert_eq!(in_flight.await.expect("no panic").expect("answer").0, StatusCode::OK);
    shop.end.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_stream_has_the_requested_duration() {
    let shop = start("--service-time 10ms").await;
    let begun = Instant::now();
    let (code, lines) = shop.ask("/stream?seconds=1").await;
    assert_eq!((code, lines.lines().count()), (200, 4), "{lines}");
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!(shop.ask("/stream?seconds=0").await.0, 400);
    let (_, metrics) = shop.ask("/metrics").await;
    assert!(metrics.contains("http_requests_total{code=\"200\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn requests_in_flight_after_the_grace_period_are_reported() {
    let shop = start("--service-time 10ms --drain-delay 0s --shutdown-grace 100ms").await;
    shop.post("/fault", "{\"hang\": true}").await;
    let hung = Request::get(shop.url.clone()).body(Body::empty()).expect("request");
    tokio::spawn(async move { http::call(&http::client(), hung, Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    shop.stop.send_replace(true);
    let error = shop.end.await.expect("no panic").expect_err("hung").to_string();
    assert!(error.contains("1 requests were still in flight"), "{error}");
}
