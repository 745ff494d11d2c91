//! Where the requests go now.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use plimsoll_api::{FailoverReason, FailoverStatus};

/// Where the requests go now.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverDecision {
    /// State, weights, what is asked of the standbys.
    pub status: FailoverStatus,
    /// Why it stands where it stands.
    pub reason: FailoverReason,
    /// Whether a standby would take all requests now, and which, or why not.
    pub ready: FailoverReason,
    /// Sources whose KPIs alone say that the primary fails; empty if its pods or a person say so.
    pub sources: BTreeSet<String>,
    /// Replicas that the service itself needs for requests that come back.
    pub floor: i32,
    /// When to look again because of it.
    pub next_look: Option<SignedDuration>,
}
