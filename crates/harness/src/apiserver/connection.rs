//! A client's connection to the server: the `tower` service, and the faults that apply to its requests.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use kube::client::{Body, Client, retry::RetryPolicy};
use tokio::time::sleep;
use tower::{BoxError, ServiceBuilder, retry::RetryLayer};

use super::{
    answer::{AnswerBody, response},
    calls::Call,
    failure::Failure,
    faults::{Effect, Target},
    request::Route,
    server::ApiServer,
};

/// The connection of one client to the server.
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
            // A sent request arrives even if its sender stops waiting.
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
    /// A client named `name` with the retries of kube's default client (429, 503 and 504, up to 15 times).
    #[must_use]
    pub fn client(&self, name: &str) -> Client {
        let service = ServiceBuilder::new()
            .layer(RetryLayer::new(RetryPolicy::server_retry()))
            .service(self.connection(name));
        Client::new(service, "default")
    }

    /// A client named `name` without retries.
    #[must_use]
    pub fn client_without_retries(&self, name: &str) -> Client {
        Client::new(self.connection(name), "default")
    }

    fn connection(&self, name: &str) -> Connection {
        Connection::new(self.clone(), name)
    }

    /// Waits until a fault that drops requests or responses ends. The client then gets a connection reset.
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
        let kinds = self.read(|state| state.kinds.clone());
        let route = Route::of(parts, body, &kinds);
        let target = match &route {
            Ok(Route::Resource(request)) => request.target(client),
            _ => Target { client, verb: "discover", resource: "", subresource: None },
        };
        self.read(|state| state.faults.on(&target))
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
