//! What services offer each other as standbys and ask of each other, over all scopes of this process.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use super::state::Key;
use crate::engine::{Asked, Capacity};

/// Switches are looked at for so long together.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// So many services may be switched within a minute whatever their number.
const ALWAYS: usize = 2;
/// Of many services, one in so many.
const ONE_IN: usize = 5;
/// Services that wait to be looked at; one that misses it is looked at when it is due.
const WAITING_MAX: usize = 1024;

/// What a service asks of a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Replicas for all of its requests.
    pub replicas: i32,
    /// Its share of the requests that the standby gets by now, in percent.
    pub share: i32,
}

impl Ask {
    /// Replicas that are busy with it by now.
    fn arrived(self) -> i32 {
        i32::try_from(i64::from(self.replicas) * i64::from(self.share) / 100).unwrap_or(i32::MAX)
    }
}

/// What one service says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its replicas.
    pub capacity: Option<Capacity>,
    /// What it asks of its standbys; `None` for a service without a failover.
    pub asks: Option<BTreeMap<Key, Ask>>,
    /// Whether some of its own requests are elsewhere.
    pub away: bool,
}

/// The board. Nothing of it is kept: who leads anew reads it from the status of all, and each service says anew what it
/// has and what it needs.
#[derive(Debug)]
pub struct Board {
    notes: Mutex<Notes>,
    asked: broadcast::Sender<Key>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Whether it was read from the status of all.
    begun: bool,
    entries: HashMap<Key, Entry>,
    /// Which service left its primary, and when; the newest last.
    switches: VecDeque<(Timestamp, Key)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { notes: Mutex::default(), asked: broadcast::Sender::new(WAITING_MAX) }
    }
}

impl Board {
    /// What all services said before this process led, unless that was read already. Who has spoken since knows better.
    pub fn begin(&self, entries: impl FnOnce() -> Vec<(Key, Entry, Option<Timestamp>)>) {
        self.notes(|notes| {
            if std::mem::replace(&mut notes.begun, true) {
                return;
            }
            let mut entries = entries();
            entries.sort_by_key(|(.., left)| *left);
            for (key, entry, left) in entries {
                notes.switches.extend(left.map(|at| (at, key.clone())));
                notes.entries.entry(key).or_insert(entry);
            }
        });
    }

    /// A service says how it is now.
    pub fn say(&self, key: &Key, entry: Entry) {
        let changed = self.notes(|notes| {
            let before = notes.entries.insert(key.clone(), entry);
            notes.changed(key, before)
        });
        self.tell(changed);
    }

    /// What a service asks, and of others still what it asked before: its requests may not have left them yet.
    pub fn and_still(&self, key: &Key, mut asks: BTreeMap<Key, Ask>) -> BTreeMap<Key, Ask> {
        let before = self.notes(|notes| notes.entries.get(key).and_then(|entry| entry.asks.clone()));
        for (standby, ask) in before.into_iter().flatten() {
            asks.entry(standby).or_insert(ask);
        }
        asks
    }

    /// So many of its replicas are ready by now.
    pub fn ready(&self, key: &Key, ready: i32) {
        self.notes(|notes| {
            if let Some(capacity) = notes.entries.get_mut(key).and_then(|entry| entry.capacity.as_mut()) {
                capacity.ready = ready;
            }
        });
    }

    /// Nobody scales it for now: it has what it has.
    pub fn unscaled(&self, key: &Key) {
        self.notes(|notes| {
            if let Some(capacity) = notes.entries.get_mut(key).and_then(|entry| entry.capacity.as_mut()) {
                (capacity.most, capacity.own) = (capacity.ready, 0);
            }
        });
    }

    /// What a service has for `asker`, if that is known: what others ask of it is not free.
    pub fn capacity_for(&self, asker: &Key, standby: &Key) -> Option<Capacity> {
        self.notes(|notes| {
            let capacity = notes.entries.get(standby)?.capacity?;
            let others = notes.asks(standby, Some(asker)).replicas;
            Some(Capacity { own: capacity.own.saturating_add(others), ..capacity })
        })
    }

    /// Whether some of a service's own requests are elsewhere, so that it must not get those of others: they might
    /// come back to where they came from.
    pub fn is_away(&self, key: &Key) -> bool {
        self.notes(|notes| notes.entries.get(key).is_some_and(|entry| entry.away))
    }

    /// What others ask of this service, together.
    pub fn asked(&self, key: &Key) -> Asked {
        self.notes(|notes| notes.asks(key, None))
    }

    /// The services of which something else is asked than before.
    pub fn changes(&self) -> broadcast::Receiver<Key> {
        self.asked.subscribe()
    }

    /// Whether so many other services left their primaries within a minute that one KPI may have moved them all.
    pub fn crowded(&self, key: &Key, now: Timestamp) -> bool {
        self.notes(|notes| notes.crowded(key, now))
    }

    /// A service is about to leave its primary for `to`, since it is `dead` or a sign says so. Whether it may is asked and
    /// noted at once, since others decide at the same moment.
    pub fn leave(&self, key: &Key, to: Option<&Key>, dead: bool, now: Timestamp) -> bool {
        self.notes(|notes| {
            let circle = to.is_some_and(|to| notes.entries.get(to).is_some_and(|entry| entry.away));
            if circle || (!dead && notes.crowded(key, now)) {
                return false;
            }
            notes.switches.push_back((now, key.clone()));
            notes.entries.entry(key.clone()).or_default().away = true;
            true
        })
    }

    /// A service is gone.
    pub fn forget(&self, key: &Key) {
        let changed = self.notes(|notes| {
            let before = notes.entries.remove(key);
            notes.changed(key, before)
        });
        self.tell(changed);
    }

    /// Whoever leads anew must not act on what the services of its scope said before somebody else led.
    pub fn forget_all(&self, namespace: Option<&str>) {
        self.notes(|notes| {
            let other = |key: &Key| namespace.is_some_and(|namespace| key.0 != namespace);
            notes.entries.retain(|key, _| other(key));
            notes.switches.retain(|(_, key)| other(key));
            notes.begun = false;
        });
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
    /// What is asked of a standby by all but one.
    fn asks(&self, standby: &Key, but: Option<&Key>) -> Asked {
        let others = self.entries.iter().filter(|(key, _)| Some(*key) != but);
        let asks = others.filter_map(|(_, entry)| entry.asks.as_ref()?.get(standby));
        asks.fold(Asked::default(), |sum, ask| Asked {
            replicas: sum.replicas.saturating_add(ask.replicas),
            arrived: sum.arrived.saturating_add(ask.arrived()),
        })
    }

    fn crowded(&mut self, key: &Key, now: Timestamp) -> bool {
        // One that lies far ahead is of a clock that was set back since.
        self.switches.retain(|(at, _)| now.duration_since(*at).abs() < MINUTE);
        let others: HashSet<&Key> =
            self.switches.iter().map(|(_, who)| who).filter(|who| *who != key).collect();
        let all = self.entries.values().filter(|entry| entry.asks.is_some()).count();
        others.len() >= ALWAYS.max(all / ONE_IN)
    }

    /// The standbys of which `key` asks another number of replicas than it did before.
    fn changed(&self, key: &Key, before: Option<Entry>) -> Vec<Key> {
        let before = before.and_then(|entry| entry.asks).unwrap_or_default();
        let now = self.entries.get(key).and_then(|entry| entry.asks.as_ref());
        let replicas = |asks: Option<&BTreeMap<Key, Ask>>, standby: &Key| {
            asks.and_then(|asks| asks.get(standby)).map_or(0, |ask| ask.replicas)
        };
        let standbys: HashSet<&Key> = before.keys().chain(now.into_iter().flat_map(BTreeMap::keys)).collect();
        let changed = standbys
            .into_iter()
            .filter(|standby| replicas(Some(&before), standby) != replicas(now, standby))
            .cloned();
        changed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("shop".to_owned(), name.to_owned())
    }

    fn asking(of: &str, replicas: i32, share: i32) -> Entry {
        let asks = BTreeMap::from([(key(of), Ask { replicas, share })]);
        Entry { asks: Some(asks), away: replicas > 0, capacity: None }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn what_is_asked_adds_up_and_is_taken_back() {
        let board = Board::default();
        let mut changes = board.changes();
        board.say(&key("a"), asking("spare", 4, 50));
        board.say(&key("b"), asking("spare", 3, 0));
        assert_eq!(board.asked(&key("spare")), Asked { replicas: 7, arrived: 2 });
        board.say(&key("b"), asking("spare", 3, 100));
        board.say(&key("a"), asking("spare", 0, 0));
        assert_eq!(board.asked(&key("spare")), Asked { replicas: 3, arrived: 3 });
        board.forget(&key("b"));
        assert_eq!(board.asked(&key("spare")), Asked::default());
        let told = std::iter::from_fn(|| changes.try_recv().ok()).count();
        assert_eq!(told, 4, "an unchanged wish wakes nobody");
    }

    #[test]
    fn a_standby_is_asked_until_its_requests_have_left_it() {
        let board = Board::default();
        let (a, spare) = (key("a"), key("spare"));
        board.say(&a, asking("spare", 4, 10));
        let asks = Some(board.and_still(&a, BTreeMap::new()));
        board.say(&a, Entry { asks, ..Entry::default() });
        assert_eq!(board.asked(&spare).replicas, 4);
        let other = asking("other", 2, 0).asks.unwrap();
        let both = board.and_still(&a, other.clone());
        assert_eq!((both[&spare].replicas, both[&key("other")].replicas), (4, 2));
        board.say(&a, Entry { asks: Some(other), ..Entry::default() });
        assert_eq!(board.asked(&spare), Asked::default());
    }

    #[test]
    fn what_others_ask_is_not_free() {
        let board = Board::default();
        let capacity = Capacity { ready: 10, own: 2, most: 20 };
        board.say(&key("spare"), Entry { capacity: Some(capacity), ..Entry::default() });
        board.say(&key("a"), asking("spare", 4, 0));
        board.say(&key("b"), asking("spare", 3, 0));
        let own = |asker: &str| board.capacity_for(&key(asker), &key("spare")).map(|has| has.own);
        assert_eq!((own("a"), own("b"), own("c")), (Some(5), Some(6), Some(9)));
        board.unscaled(&key("spare"));
        assert_eq!(
            board.capacity_for(&key("c"), &key("spare")),
            Some(Capacity { ready: 10, own: 7, most: 10 })
        );
        assert_eq!(board.capacity_for(&key("c"), &key("nobody")), None);
    }

    #[test]
    fn two_or_a_fifth_of_the_services_may_leave_within_a_minute() {
        let board = Board::default();
        for name in ["a", "b"] {
            assert!(!board.crowded(&key(name), now()));
            assert!(board.leave(&key(name), None, false, now()));
        }
        assert!(board.crowded(&key("c"), now()));
        assert!(!board.crowded(&key("a"), now()), "itself does not count");
        assert!(!board.leave(&key("c"), None, false, now()), "who decided at the same moment comes too late");
        assert!(board.leave(&key("dead"), None, true, now()), "who serves nothing leaves in any case");
        assert!(!board.crowded(&key("c"), now() + MINUTE));
        for index in 0..20 {
            board.say(&key(&format!("s{index}")), asking("spare", 0, 0));
        }
        for name in ["a", "b", "c"] {
            assert!(board.leave(&key(name), None, false, now()));
        }
        assert!(!board.crowded(&key("d"), now()), "three of twenty");
        assert!(board.leave(&key("e"), None, false, now()));
        assert!(board.crowded(&key("d"), now()));
    }

    #[test]
    fn of_two_that_are_each_others_standby_one_leaves() {
        let board = Board::default();
        assert!(board.leave(&key("a"), Some(&key("b")), true, now()));
        assert!(board.is_away(&key("a")));
        assert!(!board.leave(&key("b"), Some(&key("a")), true, now()), "its requests would come back to it");
        board.say(&key("a"), asking("b", 0, 0));
        assert!(board.leave(&key("b"), Some(&key("a")), true, now()));
    }

    #[test]
    fn who_leads_anew_begins_with_the_status_of_all() {
        let board = Board::default();
        let capacity = Some(Capacity { ready: 4, own: 2, most: 9 });
        let before = || {
            vec![
                (key("spare"), Entry { capacity, ..Entry::default() }, None),
                (key("a"), asking("spare", 4, 50), Some(now())),
                (key("b"), asking("spare", 3, 0), Some(now() - MINUTE)),
            ]
        };
        board.say(&key("b"), asking("spare", 0, 0));
        board.begin(before);
        assert_eq!(board.asked(&key("spare")), Asked { replicas: 4, arrived: 2 }, "b has spoken since");
        assert_eq!(board.capacity_for(&key("a"), &key("spare")), capacity);
        assert!(board.leave(&key("c"), None, false, now()));
        assert!(board.crowded(&key("d"), now()));
        board.begin(|| panic!("it was read already"));
        board.forget_all(Some("elsewhere"));
        assert_eq!(board.asked(&key("spare")).replicas, 4, "another scope is not forgotten");
        board.forget_all(None);
        assert_eq!(board.asked(&key("spare")), Asked::default());
    }
}
