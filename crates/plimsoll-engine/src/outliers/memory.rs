//! What is remembered of replicas that stand out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::past::Past;
use plimsoll_api::RecoveryReason;

/// What is remembered of the replicas besides what status tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutlierMemory {
    /// When the sample was taken that was counted last.
    pub at: Option<Timestamp>,
    /// Samples in a row in which a replica stood out.
    pub strikes: BTreeMap<String, i32>,
    /// What replicas were ejected for: their number, and the median of their peers.
    pub ejected_for: BTreeMap<String, (f64, f64)>,
    /// The eviction that did not take place.
    pub refused: Option<Refused>,
}

/// An eviction that did not take place.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub pod: String,
    pub at: Timestamp,
    pub reason: RecoveryReason,
}

impl OutlierMemory {
    /// Forgets what belongs to replicas that are not out any more.
    pub(super) fn keep_only(&mut self, past: &Past) {
        self.ejected_for.retain(|pod, _| past.is_out(pod));
        self.refused = self.refused.take().filter(|refused| past.is_out(&refused.pod));
    }
}
