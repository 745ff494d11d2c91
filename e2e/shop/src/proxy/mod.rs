//! `proxy`: stands before a Prometheus and makes it misbehave on demand. Without a fault it
//! passes requests and answers on as they are (uncompressed).

mod answer;
mod faults;
mod huge;
mod question;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::args::ProxyArgs;
use crate::http::{self, HttpClient};
use crate::signal::Stop;

use self::faults::{Fault, Met, Mode, State};
use self::huge::Huge;
use self::question::Question;

/// Longest body of a request: Prometheus itself takes 10 MiB of form.
const LONGEST_REQUEST: usize = 16 << 20;
/// Longest answer that is read to be changed.
const LONGEST_ANSWER: usize = 256 << 20;

pub async fn run(args: ProxyArgs, stop: Stop) -> anyhow::Result<()> {
    let listener = http::listen(args.listen).await?;
    let control = http::listen(args.control_listen).await?;
    let proxy = Arc::new(Proxy::new(args.upstream));
    tokio::select! {
        result = http::serve(control, proxy.control(), stop) => result,
        result = accept(listener, Arc::clone(&proxy)) => result,
    }
}

struct Proxy {
    upstream: Uri,
    client: HttpClient,
    state: Arc<State>,
}

/// The connection is to be closed without an answer.
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
                // Out of descriptors, most likely: others are about to be closed.
                eprintln!("a connection was not accepted: {error}");
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
    // It ends with an error when the client is gone or the fault says so: nothing to report.
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

impl Proxy {
    fn new(upstream: Uri) -> Self {
        Self { upstream, client: http::client(), state: Arc::new(State::default()) }
    }

    fn control(&self) -> Router {
        let show = |Shared(state): Shared<Arc<State>>| async move { http::json(&state.show()) };
        let set = |Shared(state): Shared<Arc<State>>, body: Bytes| async move {
            match Fault::parse(&body) {
                Ok(fault) => {
                    state.set(fault);
                    http::json(&state.show())
                }
                Err(error) => http::line(StatusCode::BAD_REQUEST, &error),
            }
        };
        let stats = |Shared(state): Shared<Arc<State>>| async move { http::json(&state.stats()) };
        let reset = |Shared(state): Shared<Arc<State>>| async move {
            state.reset();
            http::json(&state.stats())
        };
        Router::new()
            .route("/-/fault", get(show).post(set))
            .route("/-/stats", get(stats))
            .route("/-/reset", post(reset))
            .route("/healthz", get(|| async { http::line(StatusCode::OK, "ok") }))
            .with_state(Arc::clone(&self.state))
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response, Unanswered> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, LONGEST_REQUEST).collect().await else {
            return Ok(http::line(StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than 16 MiB"));
        };
        let body = body.to_bytes();
        let question = Question::new(&parts.uri, is_form(&parts).then_some(&body));
        let met = self.state.meet(&question);
        let json = [(CONTENT_TYPE, "application/json")];
        match met.fault.mode {
            Mode::Down => return Err(Unanswered),
            Mode::Status500 => {
                let text = r#"{"status":"error","errorType":"internal","error":"injected"}"#;
                return Ok((StatusCode::INTERNAL_SERVER_ERROR, json, text).into_response());
            }
            Mode::Garbage => return Ok((json, "<<< this is not JSON >>>").into_response()),
            Mode::Huge => return Ok((json, Body::new(Huge::new())).into_response()),
            Mode::Slow => {
                let delay = Duration::from_secs_f64(met.fault.delay_seconds.unwrap_or(0.0));
                tokio::time::sleep(delay).await;
            }
            _ => {}
        }
        let result = match met.fault.mode {
            Mode::Stale if question.is_for_data() => self.frozen(&parts, &question, &met).await,
            Mode::Empty | Mode::Nan | Mode::Half | Mode::Partial | Mode::Skew if question.is_for_data() => {
                self.changed(&parts, body, &question, &met.fault).await
            }
            _ => self.forward(&parts, &parts.uri, body).await,
        };
        Ok(result.unwrap_or_else(|error| http::line(StatusCode::BAD_GATEWAY, &format!("{error:#}"))))
    }

    async fn changed(
        &self,
        parts: &Parts,
        body: Bytes,
        question: &Question,
        fault: &Fault,
    ) -> anyhow::Result<Response> {
        let (mut head, body) = self.whole(parts, &parts.uri, body).await?;
        let body = answer::changed(fault, question, &body).map_or(body, Bytes::from);
        head.headers_mut().remove(CONTENT_LENGTH);
        Ok(head.map(|()| Body::from(body)))
    }

    /// The first answer since the fault began, asked as of that moment: so all queries, also those
    /// that were not asked before, see the same state of the world.
    async fn frozen(&self, parts: &Parts, question: &Question, met: &Met) -> anyhow::Result<Response> {
        let asked = question.asked_until(met.since);
        let form = asked.form();
        let key = format!("{}?{form}", question.path());
        let json = [(CONTENT_TYPE, "application/json")];
        if let Some((status, body)) = self.state.kept(met, &key) {
            return Ok((status, json, body).into_response());
        }
        let (uri, body) = match parts.method {
            Method::POST => (question.path().parse()?, Bytes::from(form)),
            _ => (key.parse()?, Bytes::new()),
        };
        let (head, body) = self.whole(parts, &uri, body).await?;
        if !head.status().is_success() {
            return Ok((head.status(), json, body).into_response());
        }
        let (status, body) = self.state.keep(met, key, (head.status(), body));
        Ok((status, json, body).into_response())
    }

    async fn whole(&self, parts: &Parts, uri: &Uri, body: Bytes) -> anyhow::Result<(Response<()>, Bytes)> {
        let (head, body) = self.forward(parts, uri, body).await?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body =
            body.map_err(|error| anyhow::anyhow!("the answer of {} broke off: {error}", self.upstream))?;
        Ok((Response::from_parts(head, ()), body.to_bytes()))
    }

    async fn forward(&self, parts: &Parts, uri: &Uri, body: Bytes) -> anyhow::Result<Response> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
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

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/x-www-form-urlencoded")
}

/// The headers that are meant for the other end, and not for this hop.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers
}
