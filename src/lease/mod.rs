//! Leader election over a `coordination.k8s.io/v1` Lease.
//!
//! [`evaluate()`] decides what a candidate should do, [`Candidate`] turns that into a sequence of requests (both are
//! pure: time is an argument), and [`Elector`] sends the requests. [`Leader`] reports the leadership and issues a
//! [`Permit`] to each writer.
//!
//! Two candidates never lead at the same time if their monotonic clocks run at about the same rate; their wall clocks
//! do not matter. This is not fencing: a write that the old leader sent just before it lost the lease may still arrive,
//! so writers must use a resourceVersion too.

mod candidate;
mod evaluate;
mod params;
mod permit;
mod record;
mod run;

pub use candidate::{Answer, Candidate, Step};
pub use evaluate::{Action, LeaseView, evaluate};
pub use params::{InvalidLeaseParams, LeaseParams};
pub use permit::{Leader, Permit, WriteError};
pub use run::{Elector, LeaseConfig, elect, identity};

use jiff::Timestamp;

/// The leadership, as far as this process can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This process leads.
    Leading {
        /// Start of the leadership, by this node's wall clock.
        since: Timestamp,
        /// How often the holder of the lease has changed so far.
        transitions: i32,
    },
    /// This process does not lead.
    Following {
        /// The holder of the lease when it was last read; `None` if there was no holder, it was this process, or the lease
        /// was never read.
        holder: Option<String>,
    },
}

impl Leadership {
    /// Whether this process leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        matches!(self, Self::Leading { .. })
    }

    /// The term in which this process leads; `None` if it does not. It changes only if another process has led in between, not
    /// if this process just could not renew the lease for a while.
    #[must_use]
    pub fn term(&self) -> Option<i32> {
        match self {
            Self::Leading { transitions, .. } => Some(*transitions),
            Self::Following { .. } => None,
        }
    }
}

#[cfg(test)]
mod simulation;
