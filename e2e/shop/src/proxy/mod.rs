//! `proxy`: makes a Prometheus behind it unreachable on demand. Otherwise it forwards requests
//! and answers unchanged (uncompressed).

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::args::ProxyArgs;
use crate::http::{self, HttpClient};
use crate::signal::Stop;

/// Longest body of a request: Prometheus itself accepts forms of 10 MiB.
const LONGEST_REQUEST: usize = 16 << 20;

pub async fn run(args: ProxyArgs, stop: Stop) -> anyhow::Result<()> {
    let listener = http::listen(args.listen).await?;
    let control = http::listen(args.control_listen).await?;
    let proxy = Proxy::new(args.upstream);
    tokio::select! {
        result = http::serve(control, control_routes(Arc::clone(&proxy)), stop) => result,
        result = accept(listener, proxy) => result,
    }
}

struct Proxy {
    upstream: Uri,
    client: HttpClient,
    fault: watch::Sender<Fault>,
}

/// The JSON document of the control endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Every request is forwarded.
    #[default]
    None,
    /// The connection is closed without an answer.
    Down,
}

/// Closes the connection without an answer.
#[derive(Debug)]
struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by the fault \"down\"")
    }
}

impl std::error::Error for Unanswered {}

async fn accept(listener: TcpListener, proxy: Arc<Proxy>) -> anyhow::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(&proxy)))),
            Err(error) => {
                // Most likely out of descriptors: others will be closed soon.
                eprintln!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, proxy: Arc<Proxy>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { proxy.handle(request).await }
    });
    // An error is expected: the client has closed the connection, or the fault does.
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn control_routes(proxy: Arc<Proxy>) -> Router {
    let show = |State(proxy): State<Arc<Proxy>>| async move { http::json(&proxy.fault()) };
    let set = |State(proxy): State<Arc<Proxy>>, body: Bytes| async move {
        match serde_json::from_slice(&body) {
            Ok(fault) => {
                proxy.fault.send_replace(fault);
                http::json(&fault)
            }
            Err(error) => http::line(StatusCode::BAD_REQUEST, &format!("the fault is not valid: {error}")),
        }
    };
    Router::new().route("/-/fault", get(show).post(set)).with_state(proxy)
}

impl Proxy {
    fn new(upstream: Uri) -> Arc<Self> {
        let fault = watch::Sender::new(Fault::default());
        Arc::new(Self { upstream, client: http::client(), fault })
    }

    fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response, Unanswered> {
        let (parts, body) = request.into_parts();
        // Read even if no answer follows: a close with unread bytes would reset the connection.
        let body = Limited::new(body, LONGEST_REQUEST).collect().await;
        if self.fault().mode == Mode::Down {
            return Err(Unanswered);
        }
        let Ok(body) = body else {
            return Ok(http::line(StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than 16 MiB"));
        };
        let result = self.forward(&parts, body.to_bytes()).await;
        Ok(result.unwrap_or_else(|error| http::line(StatusCode::BAD_GATEWAY, &format!("{error:#}"))))
    }

    async fn forward(&self, parts: &Parts, body: Bytes) -> anyhow::Result<Response> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = http::join(&self.upstream, path)?;
        *request.headers_mut() = end_to_end(&parts.headers);
        for name in [HOST, ACCEPT_ENCODING, CONTENT_LENGTH] {
            request.headers_mut().remove(name);
        }
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("{} did not answer", self.upstream))?;
        let mut response = response.map(Body::new);
        *response.headers_mut() = end_to_end(response.headers());
        Ok(response)
    }
}

/// The end-to-end headers, without the hop-by-hop ones.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers
}
