//! The state that is read back from a balancer, independent of its kind.

use std::{collections::BTreeSet, net::SocketAddr};

use super::Wanted;

/// Identity of a process: its ID and, since IDs are reused, its start time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Epoch {
    /// Process ID.
    pub pid: u32,
    /// Start time, in a unit of the driver.
    pub start: u64,
}

/// The running state of a balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The process. A new one may lack the state sent to the previous one.
    pub epoch: Epoch,
    /// Replicas that get new requests, as far as this can be read back.
    pub serving: BTreeSet<String>,
    /// Replicas that should get requests, and get none because they fail health checks; always empty for NGINX.
    pub down: BTreeSet<String>,
    /// Held requests.
    pub held: u32,
}

/// Result of a synchronization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The state that was read back.
    pub look: Look,
    /// Whether it is the wanted state.
    pub in_sync: bool,
    /// Number of changes that were applied.
    pub changes: usize,
    /// Whether the balancer was reloaded.
    pub reloaded: bool,
    /// Whether deletions are left, which have no effect on requests.
    pub pending: bool,
    /// Why it is not in sync, as a sentence.
    pub message: Option<String>,
}

/// Result of writing a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateChange {
    /// The file already has this certificate.
    None,
    /// The file was written. The balancer will read it, since it does not run or has not loaded the file yet.
    Written,
    /// The running process serves it now.
    Swapped,
    /// It is too long for a command, so HAProxy was reloaded to serve it.
    Reloaded,
}

impl Look {
    /// Addresses of the replicas of `wanted` that get new requests.
    pub fn addresses(&self, wanted: &Wanted) -> Vec<SocketAddr> {
        let serving = wanted.servers.iter().filter(|(pod, _)| self.serving.contains(*pod));
        serving.map(|(_, server)| server.address).collect()
    }
}
