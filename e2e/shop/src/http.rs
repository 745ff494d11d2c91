//! Shared by every HTTP role: a listener, answers, numbers in a query, a plain client.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::signal::Stop;

/// A pooled client for plain HTTP.
pub type HttpClient = Client<HttpConnector, Body>;

/// Longest response body that [`call`] reads: 1 MiB.
const LONGEST_ANSWER: usize = 1 << 20;

pub fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    Client::builder(TokioExecutor::new()).build(connector)
}

/// One call with a deadline over all of it. An answer of 400 or more is not an error here.
pub async fn call(
    client: &HttpClient,
    request: Request<Body>,
    timeout: Duration,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let uri = request.uri().clone();
    let exchange = async {
        let response = client.request(request).await.with_context(|| format!("{uri} did not answer"))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer of {uri} broke off: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(result) => result,
        Err(_) => bail!("{uri} did not answer within {timeout:?}"),
    }
}

/// Listens, and prints the address: for port 0 the kernel chooses a port.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    eprintln!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// Serves until the stop is requested, then finishes the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) -> anyhow::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Answers are small and complete: waiting for more data only adds latency.
        let _ = stream.set_nodelay(true);
    });
    let stopped = async move { stop.requested().await };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await.context("the server failed")
}

/// An answer of one line of plain text.
pub fn line(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

/// An answer of one line of JSON.
pub fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            (StatusCode::OK, [(CONTENT_TYPE, "application/json")], format!("{text}\n")).into_response()
        }
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The whole number `name` of a query, or `default` if it is missing.
pub fn number_in(uri: &Uri, name: &str, default: u64, most: u64) -> Result<u64, String> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let Some((_, text)) = pairs.into_iter().find(|(key, _)| key == name) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} is {text:?}, but must be a whole number from 1 to {most}")),
    }
}

/// Checks a URL of the command line: plain HTTP, with a host. For clap's `value_parser`.
pub fn parse_url(text: &str) -> Result<Uri, String> {
    let fail = || format!("{text:?} is not a URL of the form http://HOST[:PORT][/PATH]");
    let uri: Uri = text.parse().map_err(|_| fail())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(fail()),
    }
}

/// As [`parse_url`], and also https.
pub fn parse_target(text: &str) -> Result<Uri, String> {
    match text.strip_prefix("https://") {
        Some(rest) => parse_url(&format!("http://{rest}"))
            .and_then(|_| text.parse().map_err(|error| format!("{text:?} is not a URL: {error}"))),
        None => parse_url(text),
    }
}

/// `base` with `path` (and query) appended.
pub fn join(base: &Uri, path: &str) -> anyhow::Result<Uri> {
    let base = base.to_string();
    format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("{base} and {path} make no URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_with_a_host_are_accepted() {
        assert!(parse_url("http://127.0.0.1:80/a?b=c").is_ok());
        assert!(parse_url("http://shop.default").is_ok());
        for text in ["", "127.0.0.1:80", "https://a/", "http://", "/a"] {
            assert!(parse_url(text).expect_err(text).contains("http://HOST"), "{text}");
        }
        assert_eq!(parse_target("https://a:1/b").expect("https").scheme_str(), Some("https"));
        assert!(parse_target("https://").is_err() && parse_target("ftp://a").is_err());
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        let at = |text: &str| number_in(&text.parse().expect("uri"), "n", 7, 10);
        assert_eq!(at("/jobs"), Ok(7));
        assert_eq!(at("/jobs?a=1&n=10"), Ok(10));
        for text in ["/jobs?n=0", "/jobs?n=11", "/jobs?n=x", "/jobs?n="] {
            assert!(at(text).expect_err(text).contains("from 1 to 10"), "{text}");
        }
    }
}
