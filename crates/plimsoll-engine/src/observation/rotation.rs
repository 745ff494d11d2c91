//! The replicas behind a load balancer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// A balancer's report counts only this long after a replica began to drain. By then a stale report from an earlier drain of
/// the same replica has been withdrawn (agents write at most once a second).
const SETTLE: SignedDuration = SignedDuration::from_secs(2);

/// The replicas behind a load balancer, with the balancers' reports on draining ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rotation {
    /// Only the highest ordinals can be removed (StatefulSet).
    pub ordered: bool,
    /// The target's pods that are not being deleted.
    pub members: Vec<Member>,
    /// Ready pods by the target's own status. If there are some and `members` is empty, the watch has not listed the pods yet.
    pub ready: i32,
    /// Replicas that were draining after the last turn, with start times.
    pub draining: BTreeMap<String, Timestamp>,
    /// Ejected replicas: outliers that get no new requests. A scale-down prefers to remove them.
    pub ejected: BTreeSet<String>,
    /// For each live balancer, the pods that it reports as drained.
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
    /// Its node, once it is scheduled.
    pub node: Option<String>,
    /// Its zone, if the pod names it.
    pub zone: Option<String>,
    /// Whether it is marked to be deleted next (pod deletion cost).
    pub marked: bool,
}

impl Rotation {
    /// Whether a pod that drains since `since` is drained. A report within [`SETTLE`] may be stale and does not count.
    pub(crate) fn finished(&self, pod: &str, since: Timestamp, now: Timestamp) -> bool {
        self.drained(pod) && now.duration_since(since) >= SETTLE
    }

    /// Whether every live balancer reports the pod as drained; false without a live balancer.
    fn drained(&self, pod: &str) -> bool {
        !self.balancers.is_empty() && self.balancers.iter().all(|drained| drained.contains(pod))
    }
}
