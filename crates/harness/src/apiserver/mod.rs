//! An API server in memory: a `tower` service, so that kube's own client and watches talk to it.
//!
//! It has what the controller uses: list and watch with resource versions and bookmarks, get, create, update, patch
//! (merge, JSON, server-side apply with field managers), delete with preconditions and finalizers, and the
//! subresources status, scale and eviction. It validates no schema and fills in no default. A call that the
//! conformance test has not compared with the real kube-apiserver ([`CALLS`]) is refused, which ends a story.

mod calls;
mod connection;
mod ending;
mod eviction;
mod failure;
mod faults;
mod fields;
mod kinds;
mod managers;
mod objects;
mod request;
mod scale;
mod serve;
mod store;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::Timestamp;
use kube::client::{Client, retry::RetryPolicy};
use serde_json::{Value, json};
use tokio::{
    sync::watch::{Receiver, Sender, channel},
    time::Instant,
};
use tower::{ServiceBuilder, retry::RetryLayer};

pub use calls::{CALLS, Call};
pub use faults::{Effect, Scope};
pub use kinds::Kind;
pub use objects::Objects;

use connection::{AnswerBody, Connection, response};
use failure::Failure;
use faults::{Faults, Target};
use request::{Request, Route, Verb};
use store::Store;
use watch::{Mode, OpenWatch};

/// An API server; clones are the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Counts changes of anything that a watch waits for.
    changed: Sender<u64>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

struct State {
    kinds: Vec<Kind>,
    store: Store,
    faults: Faults,
    watches: Vec<OpenWatch>,
    calls: Vec<Call>,
    /// Objects and watches so far, for their identities.
    uids: u64,
}

/// A fault that is switched on, until it is dropped.
#[must_use = "a fault that is dropped is over"]
pub struct Fault {
    server: ApiServer,
    id: u64,
    /// Watches that receive again when it is over.
    half_open: Option<Scope>,
}

impl Fault {
    /// Ends it.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.server.change(|state| state.faults.remove(self.id));
        if let Some(scope) = &self.half_open {
            self.server.set_mode(scope, Mode::Open);
        }
    }
}

impl ApiServer {
    /// A server with the built-in kinds and the ScalableService, whose clock is `now`.
    #[must_use]
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let mut kinds = kinds::built_in();
        kinds.push(Kind::scalable_service());
        let state = State {
            kinds,
            store: Store::default(),
            faults: Faults::default(),
            watches: Vec::new(),
            calls: Vec::new(),
            uids: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: channel(0).0, now: Box::new(now) }))
    }

    /// Serves another kind from now on, as an installed CustomResourceDefinition does.
    pub fn serve(&self, kind: Kind) {
        self.change(|state| state.kinds.push(kind));
    }

    /// A client named `name` with the retries that kube's own has (429, 503 and 504, up to 15 times).
    #[must_use]
    pub fn client(&self, name: &str) -> Client {
        let service = ServiceBuilder::new()
            .layer(RetryLayer::new(RetryPolicy::server_retry()))
            .service(self.connection(name));
        Client::new(service, "default")
    }

    /// A client named `name` that asks once.
    #[must_use]
    pub fn client_without_retries(&self, name: &str) -> Client {
        Client::new(self.connection(name), "default")
    }

    fn connection(&self, name: &str) -> Connection {
        Connection::new(self.clone(), name)
    }

    /// The objects without HTTP, for a user or a controller of Kubernetes that a test acts for.
    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects::new(self.clone())
    }

    /// Switches a fault on.
    pub fn fault(&self, scope: Scope, effect: Effect) -> Fault {
        let id = self.change(|state| state.faults.add(scope, effect));
        Fault { server: self.clone(), id, half_open: None }
    }

    /// Cuts a client off: its requests wait, and its watches receive nothing. When the partition is over, the requests
    /// fail, as on a connection that is reset, and the watches receive what they missed, as TCP sends it again.
    pub fn partition(&self, client: &str) -> Fault {
        let scope = Scope::all().client(client);
        self.half_open_watches(&scope);
        let mut fault = self.fault(scope.clone(), Effect::Lost);
        fault.half_open = Some(scope);
        fault
    }

    /// The server is gone: connections are refused, watches end.
    pub fn outage(&self) -> Fault {
        self.drop_watches(&Scope::all());
        self.fault(Scope::all(), Effect::Refused)
    }

    /// Breaks the connections of the watches that are open.
    pub fn drop_watches(&self, scope: &Scope) {
        self.set_mode(scope, Mode::Dropped);
    }

    /// Makes the open watches receive nothing more, while their connections seem to stand.
    pub fn half_open_watches(&self, scope: &Scope) {
        self.set_mode(scope, Mode::HalfOpen);
    }

    /// Forgets what watches would need to begin in the past: they are answered with 410 Gone.
    pub fn compact(&self) {
        self.change(|state| state.store.compact());
    }

    /// Calls that were refused since the conformance test does not make them.
    #[must_use]
    pub fn unknown_calls(&self) -> Vec<String> {
        let unknown = |call: &&Call| call.check().is_err() && call.code == 501;
        self.look(|state| state.calls.iter().filter(unknown).map(|call| call.shape.clone()).collect())
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.look(|state| state.calls.clone())
    }

    /// Is signalled at every change.
    #[must_use]
    pub fn changes(&self) -> Receiver<u64> {
        self.0.changed.subscribe()
    }

    fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    fn note(&self, mut call: Call, code: u16) {
        (call.code, call.at) = (code, self.now());
        self.state().calls.push(call);
    }

    fn set_mode(&self, scope: &Scope, mode: Mode) {
        self.change(|state| {
            for watch in &mut state.watches {
                let target = Target {
                    client: &watch.client,
                    verb: "watch",
                    resource: watch.resource,
                    subresource: None,
                };
                if scope.has(&target) {
                    watch.mode = mode;
                }
            }
        });
    }

    fn mode(&self, id: u64) -> Mode {
        self.look(|state| {
            let open = state.watches.iter().find(|watch| watch.id == id);
            open.map_or(Mode::Dropped, |watch| watch.mode)
        })
    }

    fn close(&self, id: u64) {
        self.state().watches.retain(|watch| watch.id != id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.0.changed.send_modify(|count| *count += 1);
        changed
    }

    /// Changes objects; signalled only if one really changed, so that a controller does not wake itself.
    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.store.version();
        let written = write(&mut state);
        let changed = state.store.version() != before;
        drop(state);
        if changed {
            self.0.changed.send_modify(|count| *count += 1);
        }
        written
    }

    /// Answers a request that has arrived.
    fn answer(&self, client: &str, parts: &http::request::Parts, body: &Bytes) -> Response<AnswerBody> {
        let kinds = self.look(|state| state.kinds.clone());
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

    /// `None` if it is a watch.
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
        self.look(|state| {
            let behind = state.faults.staleness(&request.target(client));
            let (resource, namespace) = (request.kind.resource(), request.namespace.as_deref());
            let number = |text: &str| text.parse::<usize>().ok();
            // All pages are of the version of the first one; the token has it, and the number of sent items.
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
            let page = items.iter().skip(first).take(limit).map(|item| request.kind.as_item(item));
            let page: Vec<Value> = page.collect();
            let (mut metadata, sent) = (json!({"resourceVersion": version.to_string()}), first + page.len());
            if sent < items.len() {
                metadata["continue"] = json!(format!("{version}.{sent}"));
                metadata["remainingItemCount"] = json!(items.len() - sent);
            }
            json!({
                "apiVersion": request.kind.api_version(),
                "kind": format!("{}List", request.kind.kind),
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
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
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
