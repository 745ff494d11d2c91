use axum::http::header::CONTENT_TYPE;
use axum::http::request::Builder;
use axum::http::{HeaderValue, Method};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

/// A server that answers every request with its content, and with a status and headers that the
/// proxy itself does not use.
async fn upstream() -> Uri {
    let echo = |method: Method, uri: Uri, headers: HeaderMap, body: String| async move {
        let arrived: Vec<_> = headers
            .iter()
            .filter(|(name, _)| **name != HOST && **name != CONTENT_LENGTH)
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        let answer = json!({
            "method": method.as_str(),
            "uri": uri.to_string(),
            "headers": arrived,
            "host": headers.get(HOST).map(|host| host.to_str().expect("text")),
            "body": body,
        });
        let headers = [("x-upstream", "kept"), ("keep-alive", "timeout=5")];
        (StatusCode::IM_A_TEAPOT, headers, answer.to_string()).into_response()
    };
    serve(Router::new().fallback(echo)).await
}

async fn serve(router: Router) -> Uri {
    let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url.parse().expect("url")
}

struct Running {
    upstream: Uri,
    url: Uri,
    control: Uri,
    client: HttpClient,
}

async fn start(upstream: Uri) -> Running {
    let proxy = Proxy::new(upstream.clone());
    let control = serve(control_routes(Arc::clone(&proxy))).await;
    let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address")).parse().expect("url");
    tokio::spawn(accept(listener, proxy));
    Running { upstream, url, control, client: http::client() }
}

impl Running {
    async fn send(&self, request: Builder, body: &str) -> anyhow::Result<Response<Bytes>> {
        let request = request.body(Body::from(body.to_owned()))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response<Bytes>> {
        self.send(Request::get(http::join(&self.url, path)?), "").await
    }

    async fn post(&self, path: &str, form: &str) -> anyhow::Result<Response<Bytes>> {
        self.send(Request::post(http::join(&self.url, path)?).header(CONTENT_TYPE, FORM), form).await
    }

    /// Status and body of the control endpoint's answer.
    async fn switch(&self, method: &str, body: &str) -> (StatusCode, String) {
        let uri = http::join(&self.control, "/-/fault").expect("url");
        let answer = self.send(Request::builder().method(method).uri(uri), body).await.expect("an answer");
        (answer.status(), String::from_utf8_lossy(answer.body()).trim_end().to_owned())
    }
}

fn arrived(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).expect("json")
}

#[tokio::test]
async fn without_a_fault_requests_and_answers_are_forwarded_unchanged() {
    let proxy = start(upstream().await).await;
    let host = proxy.upstream.authority().expect("an authority").as_str();

    let path = "/api/v1/query?query=sum(up%7Ba%3D%22b%22%7D)+%2B+1&time=5";
    let request = Request::get(http::join(&proxy.url, path).expect("url"))
        .header("authorization", "Bearer token")
        .header(ACCEPT_ENCODING, "gzip")
        .header("keep-alive", "timeout=5");
    let answer = proxy.send(request, "").await.expect("an answer");
    let headers = json!([["authorization", "Bearer token"]]);
    let wanted = json!({"method": "GET", "uri": path, "headers": headers, "host": host, "body": ""});
    assert_eq!(arrived(&answer), wanted);
    assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.headers().get("x-upstream"), Some(&HeaderValue::from_static("kept")));
    assert_eq!(answer.headers().get("keep-alive"), None, "a hop-by-hop header");

    let form = "query=sum(up)&time=42";
    let answer = proxy.post("/api/v1/query", form).await.expect("an answer");
    let headers = json!([["content-type", FORM]]);
    let wanted =
        json!({"method": "POST", "uri": "/api/v1/query", "headers": headers, "host": host, "body": form});
    assert_eq!(arrived(&answer), wanted);
}

#[tokio::test]
async fn down_closes_the_connection_without_an_answer() {
    let proxy = start(upstream().await).await;
    // A connection from before the fault is closed like a fresh one.
    proxy.get("/api/v1/query?query=up").await.expect("an answer");
    assert_eq!(proxy.switch("POST", r#"{"mode": "down"}"#).await.0, StatusCode::OK);
    for result in [
        proxy.get("/api/v1/query?query=up").await,
        proxy.get("/-/healthy").await,
        proxy.post("/api/v1/query", "query=up").await,
    ] {
        let error = format!("{:#}", result.expect_err("no answer"));
        assert!(error.contains("connection closed before message completed"), "{error}");
    }
    assert_eq!(proxy.switch("POST", r#"{"mode": "none"}"#).await.0, StatusCode::OK);
    let answer = proxy.get("/api/v1/query?query=up").await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn the_control_endpoint_shows_its_document_and_refuses_an_invalid_one() {
    let proxy = start(upstream().await).await;
    let shown = |mode: &str| (StatusCode::OK, format!("{{\"mode\":\"{mode}\"}}"));
    assert_eq!(proxy.switch("GET", "").await, shown("none"));
    assert_eq!(proxy.switch("POST", r#"{"mode": "down"}"#).await, shown("down"));
    for (document, wanted) in [
        (r#"{"mode": "gone"}"#, "unknown variant `gone`, expected `none` or `down`"),
        (r#"{}"#, "missing field `mode`"),
        (r#"{"mode": "none", "delaySeconds": 1}"#, "unknown field `delaySeconds`, expected `mode`"),
        ("", "EOF while parsing"),
        ("none", "expected ident"),
    ] {
        let (status, text) = proxy.switch("POST", document).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{document}");
        assert!(text.starts_with(&format!("the fault is not valid: {wanted}")), "{document}: {text}");
    }
    assert_eq!(proxy.switch("GET", "").await, shown("down"), "a refused document changes nothing");
}

#[tokio::test]
async fn an_unreachable_prometheus_is_reported() {
    let proxy = start("http://127.0.0.1:1".parse().expect("url")).await;
    let answer = proxy.get("/").await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let text = String::from_utf8_lossy(answer.body());
    assert!(text.contains("127.0.0.1:1/ did not answer"), "{text}");
}
