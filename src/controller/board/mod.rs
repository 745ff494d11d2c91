//! The board: the ledger of capacities and claims between services, over all scopes of this process.

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

/// Capacity of the queue of changed services; a service that is dropped from it is evaluated when it is due.
const WAITING_MAX: usize = 1024;

/// The entry of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its replicas.
    pub capacity: Option<Capacity>,
    /// Its claims on its standbys; `None` for a service without a failover.
    pub asks: Option<Asks>,
    /// Whether some of its own requests go to a standby.
    pub away: bool,
}

/// The board. It is not persisted: a new leader fills it from the statuses of all services, and each service then updates its
/// own entry.
#[derive(Debug)]
pub struct Board {
    notes: Mutex<Notes>,
    asked: broadcast::Sender<ServiceKey>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Whether it was filled from the statuses.
    begun: bool,
    offers: HashMap<ServiceKey, Offer>,
    claims: Claims,
    departures: Departures,
}

/// What a service can offer as a standby.
#[derive(Debug, Default)]
struct Offer {
    capacity: Option<Capacity>,
    /// Whether some of its own requests go to a standby.
    away: bool,
}

impl Default for Board {
    fn default() -> Self {
        Self { notes: Mutex::default(), asked: broadcast::Sender::new(WAITING_MAX) }
    }
}

impl Board {
    /// Fills the board with entries from before this process led, unless that is done already. Newer entries are kept.
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

    /// Updates the entry of a service.
    pub fn say(&self, key: &ServiceKey, entry: Entry) {
        let changed = self.notes(|notes| notes.say(key, entry));
        self.signal(changed);
    }

    /// New claims, plus the previous claims on other standbys: the service's requests may not have left those yet.
    pub fn and_still(&self, key: &ServiceKey, mut asks: Asks) -> Asks {
        let before = self.notes(|notes| notes.claims.of(key).cloned());
        for (standby, ask) in before.into_iter().flatten() {
            asks.entry(standby).or_insert(ask);
        }
        asks
    }

    /// Updates the number of ready replicas of a service.
    pub fn ready(&self, key: &ServiceKey, ready: i32) {
        self.notes(|notes| {
            if let Some(capacity) = notes.offers.get_mut(key).and_then(|offer| offer.capacity.as_mut()) {
                capacity.ready = ready;
            }
        });
    }

    /// Records that a service is currently not scaled, so that it offers only its ready replicas.
    pub fn unscaled(&self, key: &ServiceKey) {
        self.notes(|notes| {
            if let Some(capacity) = notes.offers.get_mut(key).and_then(|offer| offer.capacity.as_mut()) {
                (capacity.most, capacity.own) = (capacity.ready, 0);
            }
        });
    }

    /// The capacity of a standby for `asker`, if known. Claims of other services are not available to it.
    pub fn capacity_for(&self, asker: &ServiceKey, standby: &ServiceKey) -> Option<Capacity> {
        self.notes(|notes| {
            let capacity = notes.offers.get(standby)?.capacity?;
            let others = notes.claims.on(standby, Some(asker)).replicas;
            Some(Capacity { own: capacity.own.saturating_add(others), ..capacity })
        })
    }

    /// Whether some of a service's own requests go to a standby. Then it must not be a standby itself, since requests could
    /// loop back.
    pub fn is_away(&self, key: &ServiceKey) -> bool {
        self.notes(|notes| notes.is_away(key))
    }

    /// The sum of the claims on this service.
    pub fn asked(&self, key: &ServiceKey) -> Asked {
        self.notes(|notes| notes.claims.on(key, None))
    }

    /// The services on which the claims changed.
    pub fn changes(&self) -> broadcast::Receiver<ServiceKey> {
        self.asked.subscribe()
    }

    /// The sources whose KPIs moved so many other services within a minute that the source may be wrong, or that this
    /// namespace has used up its share.
    pub fn correlated_failures(&self, key: &ServiceKey, now: Timestamp) -> BTreeSet<String> {
        self.notes(|notes| notes.correlated_failures(key, now))
    }

    /// Asks to leave the primary for `to`, by KPIs of these `sources`, or for another reason if there are none. Returns whether
    /// it is granted. Check and record are one step, since other services decide concurrently.
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

    /// Removes a service.
    pub fn forget(&self, key: &ServiceKey) {
        let changed = self.notes(|notes| {
            notes.offers.remove(key);
            notes.claims.replace(key, None)
        });
        self.signal(changed);
    }

    /// Removes all services of a scope, since the entries may be outdated after another process has led.
    pub fn forget_all(&self, namespace: Option<&str>) {
        self.notes(|notes| {
            let other = |key: &ServiceKey| namespace.is_some_and(|namespace| key.namespace != namespace);
            notes.offers.retain(|key, _| other(key));
            notes.claims.retain(other);
            notes.departures.retain(other);
            notes.begun = false;
        });
    }

    fn signal(&self, changed: Vec<ServiceKey>) {
        for standby in changed {
            // Without a receiver, no service is evaluated anyway.
            let _ = self.asked.send(standby);
        }
    }

    fn notes<T>(&self, use_them: impl FnOnce(&mut Notes) -> T) -> T {
        use_them(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notes {
    /// Replaces the entry of a service. Returns the standbys whose claimed replicas changed.
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
