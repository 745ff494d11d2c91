//! The replicas behind a load balancer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// A balancer's word counts from this long after a replica was chosen: one that is left over from an earlier drain of
/// the same replica has been taken back by then (agents write at most once a second).
const SETTLE: SignedDuration = SignedDuration::from_secs(2);

/// The replicas behind a load balancer, and what the balancers say of those that are being drained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rotation {
    /// Only the highest ordinals can go (StatefulSet).
    pub ordered: bool,
    /// The target's pods that are there to stay; one that is being deleted is gone.
    pub members: Vec<Member>,
    /// Pods that the target itself says are ready: with none of them in `members`, the watch has yet to list them.
    pub ready: i32,
    /// What was being drained at the last look, since when.
    pub draining: BTreeMap<String, Timestamp>,
    /// Pods that get no new requests because they stand out from their peers; the first to go in a scale-down.
    pub ejected: BTreeSet<String>,
    /// For each live balancer, the pods whose last request there is over.
    pub balancers: Vec<BTreeSet<String>>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of its pod.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// Its zone, where the pod tells.
    pub zone: Option<String>,
    /// It was marked as the next to be deleted.
    pub marked: bool,
}

impl Rotation {
    /// Whether a pod that gets no new requests since then has none left. A word that is too young may be an old one.
    pub(crate) fn finished(&self, pod: &str, since: Timestamp, now: Timestamp) -> bool {
        self.drained(pod) && now.duration_since(since) >= SETTLE
    }

    /// Whether every live balancer says that the pod's last request is over.
    fn drained(&self, pod: &str) -> bool {
        !self.balancers.is_empty() && self.balancers.iter().all(|drained| drained.contains(pod))
    }
}
