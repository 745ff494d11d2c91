//! What services offer each other as standbys and ask of each other, over all scopes of this process.

mod claims;
mod departures;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::broadcast;

use self::{claims::Claims, departures::Departures};
use super::key::ServiceKey;
use plimsoll_engine::{Asked, Capacity};

pub use claims::{Ask, Asks};
pub use departures::Left;

/// Services that wait to be looked at; one that misses it is looked at when it is due.
const WAITING_MAX: usize = 1024;

/// What one service says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its replicas.
    pub capacity: Option<Capacity>,
    /// What it asks of its standbys; `None` for a service without a failover.
    pub asks: Option<Asks>,
    /// Whether some of its own requests are elsewhere.
    pub away: bool,
}

/// The board. Nothing of it is kept: who leads anew reads it from the status of all, and each service says anew what it
/// has and what it needs.
#[derive(Debug)]
pub struct Board {
    notes: Mutex<Notes>,
    asked: broadcast::Sender<ServiceKey>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Whether it was read from the status of all.
    begun: bool,
    offers: HashMap<ServiceKey, Offer>,
    claims: Claims,
    departures: Departures,
}

/// What a service has.
#[derive(Debug, Default)]
struct Offer {
    capacity: Option<Capacity>,
    /// Whether some of its own requests are elsewhere.
    away: bool,
}

impl Default for Board {
    fn default() -> Self {
        Self { notes: Mutex::default(), asked: broadcast::Sender::new(WAITING_MAX) }
    }
}

impl Board {
    /// What all services said before this process led, unless that was read already. Who has spoken since knows better.
    pub fn begin(&self, entries: impl FnOnce() -> Vec<(ServiceKey, Entry, Option<Left>)>) {
        self.notes(|notes| {
            if std::mem::replace(&mut notes.begun, true) {
                return;
            }
            let mut entries = entries();
            entries.sort_by_key(|(.., left)| left.as_ref().map(|left| left.at));
            for (key, entry, left) in entries {
                if let Some(left) = left {
                    notes.departures.grant(&key, left);
                }
                if !notes.offers.contains_key(&key) {
                    notes.say(&key, entry);
                }
            }
        });
    }

    /// A service says how it is now.
    pub fn say(&self, key: &ServiceKey, entry: Entry) {
        let changed = self.notes(|notes| notes.say(key, entry));
        self.tell(changed);
    }

    /// What a service asks, and of others still what it asked before: its requests may not have left them yet.
    pub fn and_still(&self, key: &ServiceKey, mut asks: Asks) -> Asks {
        let before = self.notes(|notes| notes.claims.of(key).cloned());
        for (standby, ask) in before.into_iter().flatten() {
            asks.entry(standby).or_insert(ask);
        }
        asks
    }

    /// So many of its replicas are ready by now.
    pub fn ready(&self, key: &ServiceKey, ready: i32) {
        self.notes(|notes| {
            if let Some(capacity) = notes.offers.get_mut(key).and_then(|offer| offer.capacity.as_mut()) {
                capacity.ready = ready;
            }
        });
    }

    /// Nobody scales it for now: it has what it has.
    pub fn unscaled(&self, key: &ServiceKey) {
        self.notes(|notes| {
            if let Some(capacity) = notes.offers.get_mut(key).and_then(|offer| offer.capacity.as_mut()) {
                (capacity.most, capacity.own) = (capacity.ready, 0);
            }
        });
    }

    /// What a service has for `asker`, if that is known: what others ask of it is not free.
    pub fn capacity_for(&self, asker: &ServiceKey, standby: &ServiceKey) -> Option<Capacity> {
        self.notes(|notes| {
            let capacity = notes.offers.get(standby)?.capacity?;
            let others = notes.claims.on(standby, Some(asker)).replicas;
            Some(Capacity { own: capacity.own.saturating_add(others), ..capacity })
        })
    }

    /// Whether some of a service's own requests are elsewhere, so that it must not get those of others: they might
    /// come back to where they came from.
    pub fn is_away(&self, key: &ServiceKey) -> bool {
        self.notes(|notes| notes.is_away(key))
    }

    /// What others ask of this service, together.
    pub fn asked(&self, key: &ServiceKey) -> Asked {
        self.notes(|notes| notes.claims.on(key, None))
    }

    /// The services of which something else is asked than before.
    pub fn changes(&self) -> broadcast::Receiver<ServiceKey> {
        self.asked.subscribe()
    }

    /// The sources by whose KPIs so many other services left their primaries within a minute that one of these may be
    /// wrong, or so many of this namespace that it has had its share.
    pub fn correlated_failures(&self, key: &ServiceKey, now: Timestamp) -> BTreeSet<String> {
        self.notes(|notes| notes.correlated_failures(key, now))
    }

    /// A service is about to leave its primary for `to`, by KPIs of these `sources`, or for another reason if there are
    /// none. Whether it may is asked and noted at once, since others decide at the same moment.
    pub fn leave(
        &self,
        key: &ServiceKey,
        to: Option<&ServiceKey>,
        sources: &BTreeSet<String>,
        now: Timestamp,
    ) -> bool {
        self.notes(|notes| {
            let circle = to.is_some_and(|to| notes.is_away(to));
            if circle || (!sources.is_empty() && sources.is_subset(&notes.correlated_failures(key, now))) {
                return false;
            }
            if !sources.is_empty() {
                notes.departures.grant(key, Left { at: now, sources: sources.clone() });
            }
            notes.offers.entry(key.clone()).or_default().away = true;
            true
        })
    }

    /// A service is gone.
    pub fn forget(&self, key: &ServiceKey) {
        let changed = self.notes(|notes| {
            notes.offers.remove(key);
            notes.claims.replace(key, None)
        });
        self.tell(changed);
    }

    /// Whoever leads anew must not act on what the services of its scope said before somebody else led.
    pub fn forget_all(&self, namespace: Option<&str>) {
        self.notes(|notes| {
            let other = |key: &ServiceKey| namespace.is_some_and(|namespace| key.namespace != namespace);
            notes.offers.retain(|key, _| other(key));
            notes.claims.retain(other);
            notes.departures.retain(other);
            notes.begun = false;
        });
    }

    fn tell(&self, changed: Vec<ServiceKey>) {
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
    /// Takes over what a service says. Returns the standbys of which it asks another number of replicas than before.
    fn say(&mut self, key: &ServiceKey, Entry { capacity, asks, away }: Entry) -> Vec<ServiceKey> {
        self.offers.insert(key.clone(), Offer { capacity, away });
        self.claims.replace(key, asks)
    }

    fn is_away(&self, key: &ServiceKey) -> bool {
        self.offers.get(key).is_some_and(|offer| offer.away)
    }

    fn correlated_failures(&mut self, key: &ServiceKey, now: Timestamp) -> BTreeSet<String> {
        let claimants = self.claims.claimants(&key.namespace);
        self.departures.correlated_failures(key, claimants, now)
    }
}

#[cfg(test)]
mod tests;
