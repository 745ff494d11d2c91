//! Whether the process makes progress and its watches have synced. The controller sets it; the server and the metrics read
//! it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Progress and synced watches of this process. Clones share the same state.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    stale_after: Duration,
    /// Milliseconds from `start` to the last heartbeat.
    beat: AtomicU64,
    watches: RwLock<Vec<(&'static str, Arc<AtomicBool>)>>,
}

/// Marks that one watch has synced. It can't be reset: a watch that is lost later still has its last state.
#[derive(Clone, Debug)]
pub struct Latch(Arc<AtomicBool>);

impl Latch {
    /// Marks that the watch has completed its first list.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::with_stale_after(Self::STALE_AFTER)
    }
}

impl Health {
    /// Default of the maximum age of the last heartbeat.
    pub const STALE_AFTER: Duration = Duration::from_secs(60);

    /// Health with the first heartbeat now, and the maximum age `stale_after`.
    #[must_use]
    pub fn with_stale_after(stale_after: Duration) -> Self {
        let watches = RwLock::default();
        Self(Arc::new(Inner { start: Instant::now(), stale_after, beat: AtomicU64::new(0), watches }))
    }

    /// Records progress of the main loop. Must be called at least every few seconds, even when idle.
    pub fn beat(&self) {
        self.0.beat.store(millis(self.0.start.elapsed()), Ordering::Relaxed);
    }

    /// Registers a watch that must sync before this process is ready. Each scope registers one with the same name.
    #[must_use]
    pub fn watch(&self, name: &'static str) -> Latch {
        let mut watches = self.0.watches.write().unwrap_or_else(PoisonError::into_inner);
        let latch = Arc::default();
        watches.push((name, Arc::clone(&latch)));
        Latch(latch)
    }

    /// Every named watch and whether it has synced in every scope, by name.
    #[must_use]
    pub fn watches(&self) -> Vec<(&'static str, bool)> {
        let watches = self.0.watches.read().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = BTreeMap::new();
        for (name, synced) in watches.iter() {
            *by_name.entry(*name).or_insert(true) &= synced.load(Ordering::Relaxed);
        }
        by_name.into_iter().collect()
    }

    /// Whether there are watches and all have synced.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let watches = self.watches();
        !watches.is_empty() && watches.iter().all(|(_, synced)| *synced)
    }

    /// `Ok` while the last heartbeat is recent enough.
    ///
    /// # Errors
    /// A sentence with its age and the maximum.
    pub fn alive(&self) -> Result<(), String> {
        let beat = Duration::from_millis(self.0.beat.load(Ordering::Relaxed));
        let age = self.0.start.elapsed().saturating_sub(beat);
        if age <= self.0.stale_after {
            return Ok(());
        }
        let (age, allowed) = (age.as_secs_f64(), self.0.stale_after.as_secs_f64());
        Err(format!("the main loop made no progress for {age:.1} s; at most {allowed} s are allowed"))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_there_are_watches_and_all_have_synced() {
        let health = Health::default();
        assert!(!health.is_ready());
        let pods = health.watch("pods");
        let services = health.watch("scalableservices");
        pods.set();
        assert_eq!(health.watches(), [("pods", true), ("scalableservices", false)]);
        assert!(!health.is_ready());
        services.set();
        assert!(health.is_ready());
        let elsewhere = health.watch("pods");
        assert!(!health.is_ready(), "not synced in another scope");
        elsewhere.set();
        assert!(health.is_ready());
    }

    #[test]
    fn alive_again_after_a_new_heartbeat() {
        let health = Health::with_stale_after(Duration::from_millis(20));
        assert_eq!(health.alive(), Ok(()));
        std::thread::sleep(Duration::from_millis(150));
        let complaint = health.alive().unwrap_err();
        assert!(complaint.starts_with("the main loop made no progress for 0."), "{complaint}");
        assert!(complaint.ends_with(" s; at most 0.02 s are allowed"), "{complaint}");
        health.beat();
        assert_eq!(health.alive(), Ok(()));
    }
}
