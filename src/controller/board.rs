//! What services offer each other as standbys and ask of each other, over all scopes of this process.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use super::state::Key;
use crate::{api::StandbyFor, engine::Capacity};

/// Switches are looked at for so long together.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// So many services may be switched within a minute whatever their number.
const ALWAYS: usize = 2;
/// Of many services, one in so many.
const ONE_IN: usize = 5;
/// Services that wait to be looked at; one that misses it is looked at when it is due.
const WAITING_MAX: usize = 1024;

/// What a service has, and whose standby it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its replicas.
    pub capacity: Capacity,
    /// Services of other namespaces.
    pub standby_for: Vec<StandbyFor>,
}

/// The board. Nothing of it is kept: each service says anew what it has and what it needs.
#[derive(Debug)]
pub struct Board {
    notes: Mutex<Notes>,
    asked: broadcast::Sender<Key>,
}

#[derive(Debug, Default)]
struct Notes {
    offers: HashMap<Key, Offer>,
    /// By the standby: who asks it for how many replicas.
    asks: HashMap<Key, BTreeMap<Key, i32>>,
    /// Services with a failover.
    with_failover: HashSet<Key>,
    /// Which service left its primary, and when; the newest last.
    switches: VecDeque<(Timestamp, Key)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { notes: Mutex::default(), asked: broadcast::Sender::new(WAITING_MAX) }
    }
}

impl Board {
    /// A service says what it has.
    pub fn offer(&self, key: &Key, offer: Offer) {
        self.notes(|notes| notes.offers.insert(key.clone(), offer));
    }

    /// So many of its replicas are ready by now.
    pub fn ready(&self, key: &Key, ready: i32) {
        self.notes(|notes| {
            if let Some(offer) = notes.offers.get_mut(key) {
                offer.capacity.ready = ready;
            }
        });
    }

    /// What a service has, if it has said so.
    pub fn offer_of(&self, key: &Key) -> Option<Offer> {
        self.notes(|notes| notes.offers.get(key).cloned())
    }

    /// A service with a failover says what it asks of its standbys, and nothing of all others.
    pub fn ask(&self, key: &Key, wanted: &BTreeMap<Key, i32>) {
        let changed = self.notes(|notes| {
            notes.with_failover.insert(key.clone());
            notes.replace_asks(key, wanted)
        });
        self.tell(changed);
    }

    /// Replicas that others ask of this service, together.
    pub fn asked(&self, key: &Key) -> i32 {
        self.notes(|notes| {
            let asks = notes.asks.get(key).into_iter().flat_map(BTreeMap::values);
            asks.copied().fold(0, i32::saturating_add)
        })
    }

    /// The services of which something else is asked than before.
    pub fn changes(&self) -> broadcast::Receiver<Key> {
        self.asked.subscribe()
    }

    /// A service leaves its primary.
    pub fn switched(&self, key: &Key, now: Timestamp) {
        self.notes(|notes| notes.switches.push_back((now, key.clone())));
    }

    /// Whether so many other services left their primaries within a minute that one KPI may have moved them all.
    pub fn crowded(&self, key: &Key, now: Timestamp) -> bool {
        self.notes(|notes| {
            while notes.switches.front().is_some_and(|(at, _)| now.duration_since(*at) >= MINUTE) {
                notes.switches.pop_front();
            }
            let others: HashSet<&Key> =
                notes.switches.iter().map(|(_, who)| who).filter(|who| *who != key).collect();
            others.len() >= ALWAYS.max(notes.with_failover.len() / ONE_IN)
        })
    }

    /// A service is gone, or has no failover any more.
    pub fn withdraw(&self, key: &Key) {
        let changed = self.notes(|notes| {
            notes.with_failover.remove(key);
            notes.replace_asks(key, &BTreeMap::new())
        });
        self.tell(changed);
    }

    /// A service is gone altogether.
    pub fn forget(&self, key: &Key) {
        self.withdraw(key);
        self.notes(|notes| notes.offers.remove(key));
    }

    /// Whoever leads anew must not act on what it knew before somebody else led.
    pub fn forget_all(&self) {
        self.notes(|notes| *notes = Notes::default());
    }

    fn tell(&self, changed: Vec<Key>) {
        for standby in changed {
            // Without a listener there is nobody to look at it either.
            let _ = self.asked.send(standby);
        }
    }

    fn notes<T>(&self, use_them: impl FnOnce(&mut Notes) -> T) -> T {
        use_them(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notes {
    /// The standbys of which something else is asked than before.
    fn replace_asks(&mut self, key: &Key, wanted: &BTreeMap<Key, i32>) -> Vec<Key> {
        let mut changed = Vec::new();
        for (standby, asks) in &mut self.asks {
            if !wanted.contains_key(standby) && asks.remove(key).is_some() {
                changed.push(standby.clone());
            }
        }
        for (standby, replicas) in wanted {
            let before = self.asks.entry(standby.clone()).or_default().insert(key.clone(), *replicas);
            if before != Some(*replicas) {
                changed.push(standby.clone());
            }
        }
        self.asks.retain(|_, asks| !asks.is_empty());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("shop".to_owned(), name.to_owned())
    }

    #[test]
    fn what_is_asked_adds_up_and_is_taken_back() {
        let board = Board::default();
        let mut changes = board.changes();
        board.ask(&key("a"), &BTreeMap::from([(key("spare"), 4)]));
        board.ask(&key("b"), &BTreeMap::from([(key("spare"), 3)]));
        assert_eq!(board.asked(&key("spare")), 7);
        board.ask(&key("b"), &BTreeMap::from([(key("spare"), 3)]));
        board.ask(&key("a"), &BTreeMap::new());
        assert_eq!(board.asked(&key("spare")), 3);
        board.forget(&key("b"));
        assert_eq!(board.asked(&key("spare")), 0);
        let told = std::iter::from_fn(|| changes.try_recv().ok()).count();
        assert_eq!(told, 4, "an unchanged wish wakes nobody");
    }

    #[test]
    fn two_or_a_fifth_of_the_services_may_leave_within_a_minute() {
        let board = Board::default();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for name in ["a", "b"] {
            assert!(!board.crowded(&key(name), now));
            board.switched(&key(name), now);
        }
        assert!(board.crowded(&key("c"), now));
        assert!(!board.crowded(&key("a"), now), "itself does not count");
        assert!(!board.crowded(&key("c"), now + MINUTE));
        for index in 0..20 {
            board.ask(&key(&format!("s{index}")), &BTreeMap::new());
        }
        for name in ["a", "b", "c"] {
            board.switched(&key(name), now);
        }
        assert!(!board.crowded(&key("d"), now), "three of twenty");
        board.switched(&key("e"), now);
        assert!(board.crowded(&key("d"), now));
    }
}
