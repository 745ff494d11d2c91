//! Memory of outlier detection.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::past::Past;
use plimsoll_api::RecoveryReason;

/// State of outlier detection besides the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutlierMemory {
    /// Time of the last sample that was counted.
    pub at: Option<Timestamp>,
    /// Consecutive samples in which a replica was an outlier.
    pub strikes: BTreeMap<String, i32>,
    /// The value that a replica was ejected for, and the median of its peers.
    pub ejected_for: BTreeMap<String, (f64, f64)>,
    /// The last failed eviction.
    pub refused: Option<Refused>,
}

/// A refused or failed eviction.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub pod: String,
    pub at: Timestamp,
    pub reason: RecoveryReason,
}

impl OutlierMemory {
    /// Drops the state of replicas that are no longer ejected.
    pub(super) fn keep_only(&mut self, past: &Past) {
        self.ejected_for.retain(|pod, _| past.is_out(pod));
        self.refused = self.refused.take().filter(|refused| past.is_out(&refused.pod));
    }
}
