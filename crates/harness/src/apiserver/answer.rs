//! The response to a request that has arrived.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::BoxError;

use super::{
    calls::Call,
    failure::Failure,
    kinds::Kind,
    open_watch::{Mode, OpenWatch},
    request::{Request, Route, Verb},
    serve,
    server::{ApiServer, State},
    watch,
};

/// The kind of a response with metadata only; for a list `List` is appended to the kind.
const METADATA_KIND: &str = "PartialObjectMetadata";
const METADATA_VERSION: &str = "meta.k8s.io/v1";

pub(super) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

impl ApiServer {
    /// Answers a request that has arrived.
    pub(super) fn answer(
        &self,
        client: &str,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Response<AnswerBody> {
        let kinds = self.read(|state| state.kinds.clone());
        let (call, result) = match Route::of(parts, body, &kinds) {
            Ok(Route::Discovery(group)) => {
                (Call::new(client, "discover", &group), discovery(&kinds, &group).map(Some))
            }
            Ok(Route::Resource(request)) => {
                let call = Call::of(client, &request);
                if let Err(unknown) = call.check() {
                    (call, Err(unknown))
                } else {
                    let result = self.carry_out(client, &request);
                    if matches!(result, Ok(None)) {
                        return self.watch(call, client, *request);
                    }
                    (call, result)
                }
            }
            Err(failure) => (Call::new(client, parts.method.as_str(), parts.uri.path()), Err(failure)),
        };
        let (code, value, retry_after) = match result {
            Ok(answer) => answer.map_or((200, Value::Null, None), |(code, value)| (code, value, None)),
            Err(failure) => (failure.code, failure.status(), failure.retry_after),
        };
        self.note(call, code);
        response(code, &value, retry_after)
    }

    /// Carries out the call; `None` for a watch.
    fn carry_out(&self, client: &str, request: &Request) -> Result<Option<(u16, Value)>, Failure> {
        let now = self.now();
        let answer = self.write(|state| {
            let State { store, uids, .. } = state;
            serve::Call { store, request, uids, now }.carry_out()
        })?;
        Ok(match answer {
            serve::Answer::Object(code, object) if request.metadata_only => {
                Some((code, metadata_of(&object)))
            }
            serve::Answer::Object(code, object) => Some((code, object)),
            serve::Answer::Read if request.verb == Verb::List => Some((200, self.list(client, request))),
            serve::Answer::Read => None,
        })
    }

    fn list(&self, client: &str, request: &Request) -> Value {
        self.read(|state| {
            let behind = state.faults.staleness(&request.target(client));
            let (resource, namespace) = (request.kind.resource(), request.namespace.as_deref());
            let number = |text: &str| text.parse::<usize>().ok();
            // All pages are of the version of the first page; the token has that version and the number of sent items.
            let token = request.query.get("continue").and_then(|token| token.split_once('.'));
            let (version, first) = match token {
                Some((version, first)) => (version.parse().unwrap_or_default(), number(first).unwrap_or(0)),
                None if behind.is_zero() => (state.store.version(), 0),
                None => (state.store.version_at(Instant::now().checked_sub(behind)), 0),
            };
            let items: Vec<Arc<Value>> = if version == state.store.version() {
                state.store.list(&resource, namespace).map(|(_, object)| Arc::clone(object)).collect()
            } else {
                state.store.list_at(&resource, namespace, version)
            };
            let limit = request.query.get("limit").and_then(|limit| number(limit)).unwrap_or(usize::MAX);
            let as_item = |item: &Arc<Value>| {
                if request.metadata_only { metadata_of(item) } else { request.kind.as_item(item) }
            };
            let page: Vec<Value> = items.iter().skip(first).take(limit).map(as_item).collect();
            let (mut metadata, sent) = (json!({"resourceVersion": version.to_string()}), first + page.len());
            if sent < items.len() {
                metadata["continue"] = json!(format!("{version}.{sent}"));
                metadata["remainingItemCount"] = json!(items.len() - sent);
            }
            let (api_version, kind) = if request.metadata_only {
                (METADATA_VERSION.to_owned(), METADATA_KIND)
            } else {
                (request.kind.api_version(), request.kind.kind)
            };
            json!({
                "apiVersion": api_version,
                "kind": format!("{kind}List"),
                "metadata": metadata,
                "items": page,
            })
        })
    }

    fn watch(&self, call: Call, client: &str, request: Request) -> Response<AnswerBody> {
        self.note(call, 200);
        let id = self.change(|state| {
            state.uids += 1;
            let (client, resource) = (client.to_owned(), request.kind.plural);
            state.watches.push(OpenWatch { id: state.uids, client, resource, mode: Mode::Open });
            state.uids
        });
        let body = StreamBody::new(watch::begin(self.clone(), id, client, request));
        Response::new(body.boxed_unsync())
    }
}

fn metadata_of(object: &Value) -> Value {
    json!({
        "apiVersion": METADATA_VERSION,
        "kind": METADATA_KIND,
        "metadata": object["metadata"],
    })
}

fn discovery(kinds: &[Kind], group: &str) -> Result<(u16, Value), Failure> {
    let served = kinds.iter().filter(|kind| kind.api_version() == group);
    let resources: Vec<Value> = served.flat_map(Kind::discovery).collect();
    if resources.is_empty() {
        let name = group.split_once('/').map_or("", |(name, _)| name);
        return Err(Failure::not_served(name, kinds));
    }
    let list =
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources});
    Ok((200, list))
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
