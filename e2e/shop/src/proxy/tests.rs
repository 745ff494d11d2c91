use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::request::Builder;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;

/// A tiny Prometheus: two series whose value counts the questions, at the time that was asked
/// for (or 5000), and the time itself for `timestamp(...)`.
async fn prometheus() -> Uri {
    let asked = Arc::new(AtomicU64::new(0));
    let answer = move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            assert!(headers.get(ACCEPT_ENCODING).is_none(), "answers must not be compressed");
            let question = Question::new(&uri, Some(&body));
            let form = question.form();
            let time = form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == "time");
            let time: f64 = time.map_or(5_000.0, |(_, time)| time.parse().expect("a time"));
            let value =
                if question.asks_for_moments() { (time - 7.0).to_string() } else { number.to_string() };
            let series = |name: &str| json!({"metric": {"name": name}, "value": [time, value]});
            http::json(&json!({
                "status": "success",
                "data": {"resultType": "vector", "result": [series("a"), series("b")]},
            }))
        }
    };
    let healthy = || async { http::line(StatusCode::OK, "Prometheus Server is Healthy.") };
    let router = Router::new()
        .route("/api/v1/query", get(answer.clone()).post(answer))
        .route("/-/healthy", get(healthy));
    serve(router).await
}

async fn serve(router: Router) -> Uri {
    let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url.parse().expect("url")
}

struct Running {
    url: Uri,
    control: Uri,
    client: HttpClient,
}

async fn start() -> Running {
    let proxy = Arc::new(Proxy::new(prometheus().await));
    let control = serve(proxy.control()).await;
    let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address")).parse().expect("url");
    tokio::spawn(accept(listener, proxy));
    Running { url, control, client: http::client() }
}

impl Running {
    async fn send(&self, request: Builder, body: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = request.header(ACCEPT_ENCODING, "gzip").body(Body::from(body.to_owned()))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }

    async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Request::get(http::join(&self.url, path)?), "").await
    }

    async fn ask(&self, query: &str) -> Value {
        let (status, body) = self.get(&format!("/api/v1/query?query={query}")).await.expect("an answer");
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&body).expect("json")
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let request = Request::builder().method(method).uri(http::join(&self.control, path).expect("url"));
        let (status, body) = self.send(request, body).await.expect("an answer");
        assert_eq!(status, StatusCode::OK, "{body:?}");
        serde_json::from_slice(&body).expect("json")
    }

    async fn fault(&self, fault: &str) {
        self.control("POST", "/-/fault", fault).await;
    }
}

fn value(answer: &Value, series: usize) -> &Value {
    &answer["data"]["result"][series]["value"]
}

#[tokio::test]
async fn without_a_fault_get_and_form_pass_and_are_counted() {
    let proxy = start().await;
    assert_eq!(value(&proxy.ask("up").await, 0), &json!([5000.0, "1"]));
    let form = Request::post(http::join(&proxy.url, "/api/v1/query").expect("url"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let (status, body) = proxy.send(form, "query=sum(up)&time=42").await.expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(value(&serde_json::from_slice(&body).expect("json"), 1), &json!([42.0, "2"]));
    proxy.ask("up").await;
    let (status, _) = proxy.get("/nothing/here").await.expect("an answer");
    assert_eq!(status, StatusCode::NOT_FOUND);

    let stats = proxy.control("GET", "/-/stats", "").await;
    assert_eq!(stats, json!({"requests": 4, "distinctQueries": 2, "byQuery": {"up": 2, "sum(up)": 1}}));
    let seen = proxy.control("GET", "/-/fault", "").await;
    assert_eq!(seen["seen"], json!({"/api/v1/query": {"none": 3}, "/nothing/here": {"none": 1}}));
    proxy.control("POST", "/-/reset", "").await;
    assert_eq!(proxy.control("GET", "/-/stats", "").await["requests"], 0);
}

#[tokio::test]
async fn down_closes_the_connection_without_an_answer() {
    let proxy = start().await;
    proxy.fault(r#"{"mode": "down"}"#).await;
    let error = proxy.get("/api/v1/query?query=up").await.expect_err("no answer");
    assert!(format!("{error:#}").contains("connection closed before message completed"), "{error:#}");
    assert!(proxy.get("/-/healthy").await.is_err(), "all of it is down");
    proxy.fault(r#"{"mode": "none"}"#).await;
    proxy.ask("up").await;
    let seen = proxy.control("GET", "/-/fault", "").await;
    assert_eq!(seen["seen"]["/api/v1/query"], json!({"down": 1, "none": 1}));
}

#[tokio::test]
async fn slow_answers_rightly_but_later() {
    let proxy = start().await;
    proxy.fault(r#"{"mode": "slow", "delaySeconds": 0.2}"#).await;
    let begun = Instant::now();
    assert_eq!(value(&proxy.ask("up").await, 0), &json!([5000.0, "1"]));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn status500_garbage_and_huge_are_not_from_upstream() {
    let proxy = start().await;
    proxy.fault(r#"{"mode": "status500"}"#).await;
    let (status, body) = proxy.get("/api/v1/query?query=up").await.expect("an answer");
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("json")["errorType"], "internal");

    proxy.fault(r#"{"mode": "garbage"}"#).await;
    let (status, body) = proxy.get("/api/v1/query?query=up").await.expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert!(serde_json::from_slice::<Value>(&body).is_err());

    proxy.fault(r#"{"mode": "huge"}"#).await;
    let (status, body) = proxy.get("/api/v1/query?query=up").await.expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert!(body.len() >= huge::SIZE, "{}", body.len());
    proxy.fault(r#"{"mode": "none"}"#).await;
    assert_eq!(value(&proxy.ask("up").await, 0)[1], "1", "upstream was never asked before");
}

#[tokio::test]
async fn answers_are_changed_on_their_way() {
    let proxy = start().await;
    proxy.fault(r#"{"mode": "empty"}"#).await;
    assert_eq!(proxy.ask("up").await["data"], json!({"resultType": "vector", "result": []}));
    proxy.fault(r#"{"mode": "nan"}"#).await;
    assert_eq!(value(&proxy.ask("up").await, 1), &json!([5000.0, "NaN"]));
    proxy.fault(r#"{"mode": "half"}"#).await;
    assert_eq!(proxy.ask("up").await["data"]["result"].as_array().map(Vec::len), Some(1));
    proxy.fault(r#"{"mode": "partial"}"#).await;
    assert!(proxy.ask("up").await["warnings"][0].is_string());
    proxy.fault(r#"{"mode": "skew", "skewSeconds": -300}"#).await;
    assert_eq!(value(&proxy.ask("up").await, 0), &json!([4700.0, "5"]));
    assert_eq!(value(&proxy.ask("timestamp(up)").await, 0), &json!([4700.0, "4693"]));
    let (status, body) = proxy.get("/-/healthy").await.expect("an answer");
    assert!(status.is_success() && body.starts_with(b"Prometheus"), "only data is changed");
}

#[tokio::test]
async fn stale_freezes_all_queries_at_the_begin_of_the_fault() {
    let proxy = start().await;
    assert_eq!(value(&proxy.ask("up").await, 0)[1], "1");
    proxy.fault(r#"{"mode": "stale"}"#).await;
    let first = proxy.ask("up").await;
    assert_eq!(value(&first, 0)[1], "2");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(proxy.ask("up").await, first);
    // A client that says which time it means is not let out of it.
    assert_eq!(proxy.ask("up&time=99999999999").await, first);
    // Asked later for the first time, and still as of the same moment.
    let moments = proxy.ask("timestamp(up)").await;
    assert_eq!(value(&moments, 0)[0], value(&first, 0)[0]);
    let time = value(&first, 0)[0].as_f64().expect("a time");
    let moment: f64 = value(&moments, 0)[1].as_str().expect("text").parse().expect("a number");
    assert!((moment - (time - 7.0)).abs() < 1e-3);
    proxy.fault(r#"{"mode": "none"}"#).await;
    assert_ne!(proxy.ask("up").await, first);
}

#[tokio::test]
async fn a_prometheus_that_is_not_there_is_told() {
    let proxy = Arc::new(Proxy::new("http://127.0.0.1:1".parse().expect("url")));
    let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let url: Uri = format!("http://{}", listener.local_addr().expect("address")).parse().expect("url");
    tokio::spawn(accept(listener, proxy));
    let request = Request::get(url).body(Body::empty()).expect("request");
    let (status, body) =
        http::call(&http::client(), request, Duration::from_secs(5)).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(String::from_utf8_lossy(&body).contains("127.0.0.1:1/ did not answer"), "{body:?}");
}
