//! Leader election over a `coordination.k8s.io/v1` Lease.
//!
//! [`evaluate()`] says what a candidate should do, [`Candidate`] turns that into one request after another (both
//! pure: time comes in as an argument), and [`Elector`] sends the requests. [`Leader`] says who leads, and gives a
//! [`Permit`] to each writer.
//!
//! It keeps two candidates from leading at the same time as long as their monotonic clocks run at about the same
//! rate; what their wall clocks say does not matter. It is no fencing: a write that the old leader sent just before
//! it lost the lease may still arrive, so whoever writes must use a resourceVersion too.

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

/// Who leads, as far as this process can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This process leads.
    Leading {
        /// When it began to, by this node's wall clock.
        since: Timestamp,
        /// How often the lease went from one holder to another so far.
        transitions: i32,
    },
    /// This process does not lead.
    Following {
        /// Who held the lease when it was last read; `None` if that was nobody, this process, or never.
        holder: Option<String>,
    },
}

impl Leadership {
    /// Whether this process leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        matches!(self, Self::Leading { .. })
    }

    /// The term in which this process leads; `None` if it does not. It is the same as before as long as nobody else has led
    /// in between, also if this process could not renew the lease for a while.
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
