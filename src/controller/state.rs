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
    outcome::Outcome, scale::KnownScale, standbys::KnownStandbys, status::Unwritten,
};
#[cfg(doc)]
use crate::lease::Leadership;
use plimsoll_api::{ScalableServiceStatus, ScaleTargetRef};
use plimsoll_engine::{Change, Memory, Order};

/// Looks a second that a start is spread over, so that a thousand services do not ask at once.
const FIRST_LOOKS_PER_SECOND: f64 = 200.0;

/// Namespace and name of a ScalableService.
pub type Key = (String, String);

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
    /// The engine's memory; `None` until the first look rebuilds it.
    pub memory: Option<Memory>,
    /// When a decision was last made with it.
    pub decided: Option<Instant>,
    /// A change whose write failed. It may have taken place: the answer may have been lost.
    pub unanswered: Option<Change>,
    /// What failover remembers while nothing else is decided, since the target is refused.
    pub unscaled: Memory,
    /// The target that the memory is of: its reference, and its UID if the API server tells.
    pub target: Option<(ScaleTargetRef, Option<String>)>,
    /// The target's scale as it was last read or written.
    pub scale: KnownScale,
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
    /// What is known of a status that could not be written.
    pub unwritten: Unwritten,
    /// Looks in a row that could not be carried out, conflicts included.
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

/// The state of one service; a turn holds it to its end.
pub type SharedState = Arc<tokio::sync::Mutex<State>>;

/// All services of one scope.
#[derive(Debug, Default)]
pub struct States(Mutex<HashMap<Key, (Owner, SharedState)>>);

impl States {
    /// The state of a service (see [`Self::disown`]); a new one is due within `period`, spread over it with the others.
    pub fn of(&self, key: &Key, owner: Owner, period: Duration) -> SharedState {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = f64::from(u32::try_from(states.len()).unwrap_or(u32::MAX));
        let (_, state) = states.entry(key.clone()).or_insert_with(|| {
            let spread = Duration::from_secs_f64(others / FIRST_LOOKS_PER_SECOND).min(period);
            let due = Instant::now() + spread.mul_f64(fraction(key));
            let state = Arc::new(tokio::sync::Mutex::new(State {
                memory: None,
                decided: None,
                unanswered: None,
                unscaled: Memory::default(),
                target: None,
                scale: KnownScale::default(),
                due,
                generation: None,
                last: None,
                scrapes: Scrapes::default(),
                written: None,
                unwritten: Unwritten::default(),
                failures: 0,
                word: Word::default(),
                leaving: Leaving::default(),
                objects: KnownObjects::default(),
                route: KnownRoute::default(),
                standbys: KnownStandbys::default(),
                order: None,
                asked: 0,
            }));
            (owner, state)
        });
        Arc::clone(state)
    }

    /// Forgets the state of this name if it belongs to another owner. Returns whether that was another object.
    pub fn disown(&self, key: &Key, owner: &Owner) -> bool {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((known, _)) = states.get(key).filter(|(known, _)| known != owner) else { return false };
        let another = known.uid != owner.uid;
        states.remove(key);
        another
    }

    /// Forgets a service that was deleted.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Forgets what was known in other terms.
    pub fn keep_term(&self, term: i32) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|_, (owner, _)| owner.term == term);
    }
}

/// A number in 0..1 that is always the same for a service.
fn fraction(key: &Key) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
