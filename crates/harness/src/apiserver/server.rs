//! The server: its state, its faults, and the subscribers to changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch::{Receiver, Sender, channel};

use super::{
    calls::Call,
    faults::{Effect, Faults, Scope, Target},
    kinds::{self, Kind},
    open_watch::{Mode, OpenWatch},
    store::Store,
};

/// An API server; clones are the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Counts changes of anything that a watch waits for.
    changed: Sender<u64>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Everything that a server has.
pub(super) struct State {
    pub(super) kinds: Vec<Kind>,
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) watches: Vec<OpenWatch>,
    calls: Vec<Call>,
    /// Objects and watches so far, for their identities.
    pub(super) uids: u64,
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

    pub(super) fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    pub(super) fn note(&self, mut call: Call, code: u16) {
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

    pub(super) fn mode(&self, id: u64) -> Mode {
        self.look(|state| {
            let open = state.watches.iter().find(|watch| watch.id == id);
            open.map_or(Mode::Dropped, |watch| watch.mode)
        })
    }

    pub(super) fn close(&self, id: u64) {
        self.state().watches.retain(|watch| watch.id != id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.0.changed.send_modify(|count| *count += 1);
        changed
    }

    /// Changes objects; signalled only if one really changed, so that a controller does not wake itself.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
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
}
