//! Claims of services on their standbys, indexed from both sides.

use std::collections::{BTreeMap, HashMap};

use super::super::key::ServiceKey;
use plimsoll_api::Percent;
use plimsoll_engine::Asked;

/// The claim of a service on a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Replicas for all of its requests.
    pub replicas: i32,
    /// The share of its requests that the standby currently gets.
    pub share: Percent,
}

impl Ask {
    /// Replicas that are already used by it.
    fn arrived(self) -> i32 {
        i32::try_from(i64::from(self.replicas) * i64::from(self.share) / 100).unwrap_or(i32::MAX)
    }
}

/// The claims of one service, by standby.
pub type Asks = BTreeMap<ServiceKey, Ask>;

/// The claims of all services that have a failover.
#[derive(Debug, Default)]
pub struct Claims {
    by: HashMap<ServiceKey, Asks>,
    /// The same claims by standby.
    on: HashMap<ServiceKey, BTreeMap<ServiceKey, Ask>>,
    /// Number of services with a failover, by namespace.
    claimants: HashMap<String, usize>,
}

impl Claims {
    /// The claims of a service on its standbys; `None` if it has no failover.
    pub fn of(&self, key: &ServiceKey) -> Option<&Asks> {
        self.by.get(key)
    }

    /// The sum of all claims on a standby, except those of one service.
    pub fn on(&self, standby: &ServiceKey, except: Option<&ServiceKey>) -> Asked {
        let claims = self.on.get(standby).into_iter().flatten().filter(|(by, _)| Some(*by) != except);
        claims.fold(Asked::default(), |sum, (_, ask)| Asked {
            replicas: sum.replicas.saturating_add(ask.replicas),
            arrived: sum.arrived.saturating_add(ask.arrived()),
        })
    }

    /// The number of services with a failover, and the number of those in this namespace.
    pub fn claimants(&self, namespace: &str) -> (usize, usize) {
        (self.by.len(), self.claimants.get(namespace).copied().unwrap_or_default())
    }

    /// Replaces the claims of a service; `None` if it has no failover. Returns the standbys whose claimed replicas changed.
    pub fn replace(&mut self, key: &ServiceKey, asks: Option<Asks>) -> Vec<ServiceKey> {
        let before = self.remove(key);
        let replicas = |asks: Option<&Asks>, standby: &ServiceKey| {
            asks.and_then(|asks| asks.get(standby)).map_or(0, |ask| ask.replicas)
        };
        let both = before.iter().chain(&asks).flatten().map(|(standby, _)| standby);
        let mut changed: Vec<_> = both
            .filter(|standby| replicas(before.as_ref(), standby) != replicas(asks.as_ref(), standby))
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        if let Some(asks) = asks {
            for (standby, ask) in &asks {
                self.on.entry(standby.clone()).or_default().insert(key.clone(), *ask);
            }
            *self.claimants.entry(key.namespace.clone()).or_default() += 1;
            self.by.insert(key.clone(), asks);
        }
        changed
    }

    /// Removes the claims of all services for which `kept` is false.
    pub fn retain(&mut self, kept: impl Fn(&ServiceKey) -> bool) {
        let gone: Vec<_> = self.by.keys().filter(|key| !kept(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &ServiceKey) -> Option<Asks> {
        let asks = self.by.remove(key)?;
        for standby in asks.keys() {
            let claims = self.on.get_mut(standby);
            if claims.is_some_and(|claims| claims.remove(key).is_some() && claims.is_empty()) {
                self.on.remove(standby);
            }
        }
        if let Some(count) = self.claimants.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.claimants.remove(&key.namespace);
            }
        }
        Some(asks)
    }
}
