//! Connections that the gate carries: the balancer counts them for the gate, not for the replica that serves them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Number of connections to each address.
#[derive(Clone, Debug, Default)]
pub struct Carried(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// A counted connection, until it is dropped.
#[derive(Debug)]
pub struct Connection {
    carried: Carried,
    to: IpAddr,
}

impl Carried {
    /// Counts a connection to `to`.
    #[must_use]
    pub fn begin(&self, to: IpAddr) -> Connection {
        self.counts(|counts| *counts.entry(to).or_default() += 1);
        Connection { carried: self.clone(), to }
    }

    /// Whether there is one to `to`.
    #[must_use]
    pub fn any_to(&self, to: IpAddr) -> bool {
        self.counts(|counts| counts.contains_key(&to))
    }

    fn counts<T>(&self, use_them: impl FnOnce(&mut BTreeMap<IpAddr, usize>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.carried.counts(|counts| {
            if let Some(count) = counts.get_mut(&self.to) {
                *count -= 1;
            }
            counts.retain(|_, count| *count > 0);
        });
    }
}
