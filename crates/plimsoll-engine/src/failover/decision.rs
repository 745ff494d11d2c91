//! The failover decision of a turn.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use plimsoll_api::{FailoverReason, FailoverStatus};

/// The failover decision of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverDecision {
    /// State, weights, and claims on the standbys.
    pub status: FailoverStatus,
    /// Why it is in this state.
    pub reason: FailoverReason,
    /// Whether a standby can take all requests now, and which one, or why not.
    pub ready: FailoverReason,
    /// Sources whose KPIs are the only evidence of a failure; empty if the pods fail or an annotation moves the requests.
    pub sources: BTreeSet<String>,
    /// Minimum number of replicas of the primary for requests that return.
    pub floor: i32,
    /// Time until the next turn, if failover needs one.
    pub next_look: Option<SignedDuration>,
}
