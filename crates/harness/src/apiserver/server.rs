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

/// An API server; clones share the same state.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Counts the changes that watches wait for.
    changed: Sender<u64>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// The state of a server.
pub(super) struct State {
    pub(super) kinds: Vec<Kind>,
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) watches: Vec<OpenWatch>,
    calls: Vec<Call>,
    /// The number of objects and watches so far, for their identities.
    pub(super) uids: u64,
}

/// An active fault; dropping it ends the fault.
#[must_use = "a dropped fault ends immediately"]
pub struct Fault {
    server: ApiServer,
    id: u64,
    /// Watches that receive events again when the fault ends.
    half_open: Option<Scope>,
}

impl Fault {
    /// Ends the fault.
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
    /// A server with the clock `now`, the built-in kinds and the ScalableService.
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

    /// Serves another kind from now on, as after the installation of a CustomResourceDefinition.
    pub fn serve(&self, kind: Kind) {
        self.change(|state| state.kinds.push(kind));
    }

    /// Switches a fault on.
    pub fn fault(&self, scope: Scope, effect: Effect) -> Fault {
        let id = self.change(|state| state.faults.add(scope, effect));
        Fault { server: self.clone(), id, half_open: None }
    }

    /// Partitions a client from the server: its requests hang, and its watches receive nothing. When the partition ends, the
    /// requests fail with a connection reset, and the watches receive the missed events, as after a TCP retransmission.
    pub fn partition(&self, client: &str) -> Fault {
        let scope = Scope::all().client(client);
        self.half_open_watches(&scope);
        let mut fault = self.fault(scope.clone(), Effect::Lost);
        fault.half_open = Some(scope);
        fault
    }

    /// The server is down: connections are refused, watches end.
    pub fn outage(&self) -> Fault {
        self.drop_watches(&Scope::all());
        self.fault(Scope::all(), Effect::Refused)
    }

    /// Breaks the connections of the open watches.
    pub fn drop_watches(&self, scope: &Scope) {
        self.set_mode(scope, Mode::Dropped);
    }

    /// Stops the events of the open watches while their connections appear intact.
    pub fn half_open_watches(&self, scope: &Scope) {
        self.set_mode(scope, Mode::HalfOpen);
    }

    /// Compacts the history: watches from a past version get 410 Gone.
    pub fn compact(&self) {
        self.change(|state| state.store.compact());
    }

    /// Calls that were refused because the conformance test does not cover them.
    #[must_use]
    pub fn unknown_calls(&self) -> Vec<String> {
        let unknown = |call: &&Call| call.check().is_err() && call.code == 501;
        self.read(|state| state.calls.iter().filter(unknown).map(|call| call.shape.clone()).collect())
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.read(|state| state.calls.clone())
    }

    /// A receiver that is signalled at every change.
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
        self.read(|state| {
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

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.0.changed.send_modify(|count| *count += 1);
        changed
    }

    /// Changes objects. Notifies watches only if an object has changed, so that a write without effect does not wake its author.
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
