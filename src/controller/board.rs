//! What services offer each other as standbys and ask of each other, over all scopes of this process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use super::state::Key;
use plimsoll_engine::{Asked, Capacity};

/// Switches are looked at for so long together.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// So many services may leave within a minute by the KPIs of one source, whatever the number of services.
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

/// That a service left its primary by KPIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// When.
    pub at: Timestamp,
    /// The sources of these KPIs; none if it left for another reason.
    pub sources: BTreeSet<String>,
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
    /// Which services left their primaries by KPIs; the newest last. One that is dead, or was moved by a person, takes
    /// nobody else's place.
    switches: VecDeque<(Key, Left)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { notes: Mutex::default(), asked: broadcast::Sender::new(WAITING_MAX) }
    }
}

impl Board {
    /// What all services said before this process led, unless that was read already. Who has spoken since knows better.
    pub fn begin(&self, entries: impl FnOnce() -> Vec<(Key, Entry, Option<Left>)>) {
        self.notes(|notes| {
            if std::mem::replace(&mut notes.begun, true) {
                return;
            }
            let mut entries = entries();
            entries.sort_by_key(|(.., left)| left.as_ref().map(|left| left.at));
            for (key, entry, left) in entries {
                notes.switches.extend(left.map(|left| (key.clone(), left)));
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

    /// The sources by whose KPIs so many other services left their primaries within a minute that one of these may be
    /// wrong, or so many of this namespace that it has had its share.
    pub fn crowded(&self, key: &Key, now: Timestamp) -> BTreeSet<String> {
        self.notes(|notes| notes.crowded(key, now))
    }

    /// A service is about to leave its primary for `to`, by KPIs of these `sources`, or for another reason if there are
    /// none. Whether it may is asked and noted at once, since others decide at the same moment.
    pub fn leave(&self, key: &Key, to: Option<&Key>, sources: &BTreeSet<String>, now: Timestamp) -> bool {
        self.notes(|notes| {
            let circle = to.is_some_and(|to| notes.entries.get(to).is_some_and(|entry| entry.away));
            if circle || (!sources.is_empty() && sources.is_subset(&notes.crowded(key, now))) {
                return false;
            }
            if !sources.is_empty() {
                notes.switches.push_back((key.clone(), Left { at: now, sources: sources.clone() }));
            }
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
            notes.switches.retain(|(key, _)| other(key));
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

    fn crowded(&mut self, key: &Key, now: Timestamp) -> BTreeSet<String> {
        // One that lies far ahead is of a clock that was set back since.
        self.switches.retain(|(_, left)| now.duration_since(left.at).abs() < MINUTE);
        let (limit, share) = self.limits(key);
        let mut left: BTreeMap<&String, HashSet<&Key>> = BTreeMap::new();
        for (who, by) in self.switches.iter().filter(|(who, _)| who != key) {
            for source in &by.sources {
                left.entry(source).or_default().insert(who);
            }
        }
        let crowded = left.into_iter().filter(|(_, who)| {
            let near = who.iter().filter(|who| who.0 == key.0).count();
            who.len() >= limit || near >= share
        });
        crowded.map(|(source, _)| source.clone()).collect()
    }

    /// How many services may leave within a minute by KPIs of one source, and how many of them of this namespace: as many as
    /// it has of all services, and never all where there are others.
    fn limits(&self, key: &Key) -> (usize, usize) {
        let all = || self.entries.iter().filter(|(_, entry)| entry.asks.is_some());
        let (count, own) = (all().count(), all().filter(|(other, _)| other.0 == key.0).count());
        let limit = ALWAYS.max(count / ONE_IN);
        if own == count {
            return (limit, limit);
        }
        (limit, (limit * own).div_ceil(count).clamp(1, limit - 1))
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

    /// Of a namespace of its own.
    fn in_namespace(namespace: &str, name: &str) -> Key {
        (namespace.to_owned(), name.to_owned())
    }

    fn of(sources: &[&str]) -> BTreeSet<String> {
        sources.iter().map(|source| (*source).to_owned()).collect()
    }

    #[test]
    fn two_or_a_fifth_of_the_services_may_leave_within_a_minute() {
        let (board, kpi, crowded) = (Board::default(), of(&["default"]), of(&["default"]));
        for name in ["a", "b"] {
            assert_eq!(board.crowded(&key(name), now()), BTreeSet::new());
            assert!(board.leave(&key(name), None, &kpi, now()));
        }
        assert_eq!(board.crowded(&key("c"), now()), crowded);
        assert_eq!(board.crowded(&key("a"), now()), BTreeSet::new(), "itself does not count");
        assert!(!board.leave(&key("c"), None, &kpi, now()), "who decided at the same moment comes too late");
        assert!(board.leave(&key("dead"), None, &of(&[]), now()), "who serves nothing leaves in any case");
        assert_eq!(board.crowded(&key("c"), now() + MINUTE), BTreeSet::new());
        for index in 0..20 {
            board.say(&key(&format!("s{index}")), asking("spare", 0, 0));
        }
        for name in ["a", "b", "c"] {
            assert!(board.leave(&key(name), None, &kpi, now()));
        }
        assert_eq!(board.crowded(&key("d"), now()), BTreeSet::new(), "three of twenty");
        assert!(board.leave(&key("e"), None, &kpi, now()));
        assert_eq!(board.crowded(&key("d"), now()), crowded);
    }

    #[test]
    fn dead_primaries_and_orders_take_nobody_elses_place() {
        let board = Board::default();
        for index in 0..9 {
            assert!(board.leave(&in_namespace("loud", &format!("s{index}")), None, &of(&[]), now()));
        }
        assert_eq!(board.crowded(&key("a"), now()), BTreeSet::new());
        assert!(board.leave(&key("a"), None, &of(&["default"]), now()));
    }

    #[test]
    fn each_source_has_its_own_limit() {
        let board = Board::default();
        for name in ["a", "b"] {
            assert!(board.leave(&key(name), None, &of(&["one"]), now()));
        }
        assert!(!board.leave(&key("c"), None, &of(&["one"]), now()));
        assert!(board.leave(&key("c"), None, &of(&["two"]), now()));
        assert!(board.leave(&key("d"), None, &of(&["one", "two"]), now()), "two is not used up");
    }

    #[test]
    fn a_namespace_never_uses_the_share_of_the_others() {
        let (board, kpi) = (Board::default(), of(&["default"]));
        for index in 0..30 {
            board.say(&in_namespace("loud", &format!("s{index}")), asking("spare", 0, 0));
        }
        board.say(&key("quiet"), asking("spare", 0, 0));
        let left = (0..30)
            .filter(|index| board.leave(&in_namespace("loud", &format!("s{index}")), None, &kpi, now()));
        assert_eq!(left.count(), 5, "six may leave, and one of them is another's");
        assert!(board.leave(&key("quiet"), None, &kpi, now()));
    }

    #[test]
    fn of_two_that_are_each_others_standby_one_leaves() {
        let board = Board::default();
        assert!(board.leave(&key("a"), Some(&key("b")), &of(&[]), now()));
        assert!(board.is_away(&key("a")));
        assert!(
            !board.leave(&key("b"), Some(&key("a")), &of(&[]), now()),
            "its requests would come back to it"
        );
        board.say(&key("a"), asking("b", 0, 0));
        assert!(board.leave(&key("b"), Some(&key("a")), &of(&[]), now()));
    }

    #[test]
    fn who_leads_anew_begins_with_the_status_of_all() {
        let board = Board::default();
        let capacity = Some(Capacity { ready: 4, own: 2, most: 9 });
        let before = || {
            vec![
                (key("spare"), Entry { capacity, ..Entry::default() }, None),
                (key("a"), asking("spare", 4, 50), Some(Left { at: now(), sources: of(&["default"]) })),
                (
                    key("b"),
                    asking("spare", 3, 0),
                    Some(Left { at: now() - MINUTE, sources: of(&["default"]) }),
                ),
            ]
        };
        board.say(&key("b"), asking("spare", 0, 0));
        board.begin(before);
        assert_eq!(board.asked(&key("spare")), Asked { replicas: 4, arrived: 2 }, "b has spoken since");
        assert_eq!(board.capacity_for(&key("a"), &key("spare")), capacity);
        assert!(board.leave(&key("c"), None, &of(&["default"]), now()));
        assert_eq!(board.crowded(&key("d"), now()), of(&["default"]));
        board.begin(|| panic!("it was read already"));
        board.forget_all(Some("elsewhere"));
        assert_eq!(board.asked(&key("spare")).replicas, 4, "another scope is not forgotten");
        board.forget_all(None);
        assert_eq!(board.asked(&key("spare")), Asked::default());
    }
}
