//! What is remembered of a service between two looks.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    align::Scrapes, balancers::KnownObjects, fleet::Word, gateway::KnownRoute, leaving::Leaving,
    outcome::Outcome, standbys::KnownStandbys,
};
use crate::{
    api::ScalableServiceStatus,
    engine::{Memory, Order},
};

/// Looks a second that a start is spread over, so that a thousand services do not ask at once.
const FIRST_LOOKS_PER_SECOND: f64 = 200.0;

/// Namespace and name of a ScalableService.
pub type Key = (String, String);

/// The past of one service in this process.
#[derive(Debug)]
pub struct State {
    /// The engine's memory; `None` until the first look rebuilds it.
    pub memory: Option<Memory>,
    /// What failover remembers while nothing else is decided, since the target is refused.
    pub unscaled: Memory,
    /// When to look at the KPIs next.
    pub due: Instant,
    /// Generation of the spec at the last look: a changed spec is looked at once.
    pub generation: Option<i64>,
    /// What came of the last look.
    pub last: Option<Outcome>,
    /// Scrapes behind the KPIs.
    pub scrapes: Scrapes,
    /// The status as it is known to be, and when this process wrote it.
    pub written: Option<(ScalableServiceStatus, Option<Instant>)>,
    /// Looks in a row that could not be carried out.
    pub failures: u32,
    /// What the balancers said last.
    pub word: Word,
    /// What is remembered of replicas that were let go.
    pub leaving: Leaving,
    /// What is remembered of the balancers' objects.
    pub objects: KnownObjects,
    /// What is remembered of the rule of an HTTPRoute that is steered.
    pub route: KnownRoute,
    /// What is known of the standbys.
    pub standbys: KnownStandbys,
    /// What a person said at the last look.
    pub order: Option<Order>,
    /// What others asked at the last look.
    pub asked: i32,
}

impl State {
    /// The status that was written last: what the balancers were told, whatever was decided since.
    pub fn told(&self) -> Option<&ScalableServiceStatus> {
        self.written.as_ref().map(|(status, _)| status)
    }
}

/// All services of one scope.
#[derive(Debug, Default)]
pub struct States(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<State>>>>);

impl States {
    /// The state of a service; a new one is due within `period`, spread over it with the others.
    pub fn of(&self, key: &Key, period: Duration) -> Arc<tokio::sync::Mutex<State>> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = f64::from(u32::try_from(states.len()).unwrap_or(u32::MAX));
        let state = states.entry(key.clone()).or_insert_with(|| {
            let spread = Duration::from_secs_f64(others / FIRST_LOOKS_PER_SECOND).min(period);
            let due = Instant::now() + spread.mul_f64(fraction(key));
            Arc::new(tokio::sync::Mutex::new(State {
                memory: None,
                unscaled: Memory::default(),
                due,
                generation: None,
                last: None,
                scrapes: Scrapes::default(),
                written: None,
                failures: 0,
                word: Word::default(),
                leaving: Leaving::default(),
                objects: KnownObjects::default(),
                route: KnownRoute::default(),
                standbys: KnownStandbys::default(),
                order: None,
                asked: 0,
            }))
        });
        Arc::clone(state)
    }

    /// Forgets a service that was deleted.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Forgets everything: whoever leads anew must not act on what it knew before somebody else led.
    pub fn forget_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A number in 0..1 that is always the same for a service.
fn fraction(key: &Key) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
