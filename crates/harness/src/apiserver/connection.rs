//! A client's connection to the server: the `tower` service, and the faults that its requests meet.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::Value;
use tokio::time::sleep;
use tower::BoxError;

use super::{
    ApiServer,
    calls::Call,
    failure::Failure,
    faults::{Effect, Target},
    request::Route,
};

pub(super) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// One client's way to the server.
#[derive(Clone)]
pub(super) struct Connection {
    server: ApiServer,
    client: Arc<str>,
}

impl Connection {
    pub(super) fn new(server: ApiServer, client: &str) -> Self {
        Self { server, client: client.into() }
    }
}

impl tower::Service<http::Request<Body>> for Connection {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { server, client } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let effects = server.effects(&client, &parts, &body);
            let mut lost_answer = false;
            let mut latency = Duration::ZERO;
            for effect in effects {
                match effect {
                    Effect::Latency(delay) => latency += delay,
                    Effect::Status { code, retry_after } => {
                        return Ok(server.refuse(&client, &parts, code, retry_after));
                    }
                    Effect::LostAnswer => lost_answer = true,
                    Effect::Lost => {
                        return Err(server.reset_after(&client, &parts, &body, &Effect::Lost).await);
                    }
                    Effect::Refused => return Err("connection refused".into()),
                    Effect::Stale(_) => {}
                }
            }
            // A request that was sent arrives, whether or not its sender goes on waiting.
            let arrival = tokio::spawn(async move {
                sleep(latency).await;
                let answer = server.answer(&client, &parts, &body);
                if lost_answer {
                    return Err(server.reset_after(&client, &parts, &body, &Effect::LostAnswer).await);
                }
                Ok(answer)
            });
            arrival.await?
        })
    }
}

impl ApiServer {
    /// Waits until a fault that swallows requests or answers is over. What the client then sees is a connection that is
    /// reset.
    async fn reset_after(
        &self,
        client: &str,
        parts: &http::request::Parts,
        body: &Bytes,
        fault: &Effect,
    ) -> BoxError {
        let mut changes = self.changes();
        while self.effects(client, parts, body).contains(fault) {
            if changes.changed().await.is_err() {
                break;
            }
        }
        "connection reset by peer".into()
    }

    fn effects(&self, client: &str, parts: &http::request::Parts, body: &Bytes) -> Vec<Effect> {
        let kinds = self.look(|state| state.kinds.clone());
        let route = Route::of(parts, body, &kinds);
        let target = match &route {
            Ok(Route::Resource(request)) => request.target(client),
            _ => Target { client, verb: "discover", resource: "", subresource: None },
        };
        self.look(|state| state.faults.on(&target))
    }

    fn refuse(
        &self,
        client: &str,
        parts: &http::request::Parts,
        code: u16,
        retry_after: Option<u32>,
    ) -> Response<AnswerBody> {
        self.note(Call::new(client, parts.method.as_str(), parts.uri.path()), code);
        response(code, &Failure::injected(code, retry_after).status(), retry_after)
    }
}

pub(super) fn response(code: u16, value: &Value, retry_after: Option<u32>) -> Response<AnswerBody> {
    let (type_, text) = match value {
        Value::String(text) => ("text/plain", text.clone()),
        value => ("application/json", value.to_string()),
    };
    let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, type_);
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    response.body(body).expect("status and headers are valid")
}
