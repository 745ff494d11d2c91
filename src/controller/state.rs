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

/// Looks a second that a start is spread over, so that a thousand services do not ask at once.
const FIRST_LOOKS_PER_SECOND: f64 = 200.0;

/// What a state belongs to. Another object of the same name has a state of its own, and so has each term as the leader: what
/// was known before another process led may be wrong by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// UID of the ScalableService.
    pub uid: Option<String>,
    /// The term in which this process leads: see [`Leadership::term`].
    pub term: i32,
}

/// The past of one service in this process.
#[derive(Debug)]
pub struct State {
    /// What the turn remembers.
    pub core: Core,
    /// The capabilities, each with what it remembers.
    pub capabilities: Vec<Box<dyn Capability>>,
}

/// The state of one service; a turn holds it to its end.
pub type SharedState = Arc<tokio::sync::Mutex<State>>;

/// All services of one scope.
#[derive(Debug, Default)]
pub struct States(Mutex<HashMap<ServiceKey, (Owner, SharedState)>>);

impl States {
    /// The state of a service (see [`Self::disown`]); a new one is due within `period`, spread over it with the others.
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

    /// Forgets the state of this name if it belongs to another owner. Returns whether that was another object.
    pub fn disown(&self, key: &ServiceKey, owner: &Owner) -> bool {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((known, _)) = states.get(key).filter(|(known, _)| known != owner) else { return false };
        let another = known.uid != owner.uid;
        states.remove(key);
        another
    }

    /// Forgets a service that was deleted.
    pub fn forget(&self, key: &ServiceKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Forgets what was known in other terms.
    pub fn keep_term(&self, term: i32) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|_, (owner, _)| owner.term == term);
    }
}

/// A number in 0..1 that is always the same for a service.
fn fraction(key: &ServiceKey) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
