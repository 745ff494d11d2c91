//! The states of all services of one scope.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{capabilities, capability::Capability, core::Core, key::ServiceKey};
#[cfg(doc)]
use crate::lease::Leadership;

/// Maximum rate of first evaluations after a start, per second, so that a thousand services do not query at the same time.
const FIRST_LOOKS_PER_SECOND: f64 = 200.0;

/// Owner of a state. A new object of the same name gets a new state, and so does each term as the leader: a state from before
/// another process led may be outdated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// UID of the ScalableService.
    pub uid: Option<String>,
    /// The term in which this process leads: see [`Leadership::term`].
    pub term: i32,
}

/// The state of one service in this process.
#[derive(Debug)]
pub struct State {
    /// The state of the turn itself.
    pub core: Core,
    /// The capabilities with their own states.
    pub capabilities: Vec<Box<dyn Capability>>,
}

/// The state of one service, locked for the duration of a turn.
pub type SharedState = Arc<tokio::sync::Mutex<State>>;

/// The states of all services of one scope.
#[derive(Debug, Default)]
pub struct States(Mutex<HashMap<ServiceKey, (Owner, SharedState)>>);

impl States {
    /// The state of a service (see [`Self::disown`]). First evaluations of new states are spread over `period` at most.
    pub fn of(&self, key: &ServiceKey, owner: Owner, period: Duration) -> SharedState {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = f64::from(u32::try_from(states.len()).unwrap_or(u32::MAX));
        let (_, state) = states.entry(key.clone()).or_insert_with(|| {
            let spread = Duration::from_secs_f64(others / FIRST_LOOKS_PER_SECOND).min(period);
            let core = Core::due_at(Instant::now() + spread.mul_f64(fraction(key)));
            let state = State { core, capabilities: capabilities::all() };
            (owner, Arc::new(tokio::sync::Mutex::new(state)))
        });
        Arc::clone(state)
    }

    /// Discards the state of this name if it belongs to another owner. Returns whether that was another object.
    pub fn disown(&self, key: &ServiceKey, owner: &Owner) -> bool {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((known, _)) = states.get(key).filter(|(known, _)| known != owner) else { return false };
        let another = known.uid != owner.uid;
        states.remove(key);
        another
    }

    /// Discards the state of a deleted service.
    pub fn forget(&self, key: &ServiceKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Discards the states of other terms.
    pub fn keep_term(&self, term: i32) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|_, (owner, _)| owner.term == term);
    }
}

/// A number from 0 to 1 that is constant for a service.
fn fraction(key: &ServiceKey) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
