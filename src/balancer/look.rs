//! What is read back from what balances, whichever it is.

use std::{collections::BTreeSet, net::SocketAddr};

use super::Wanted;

/// A process: its id, and since ids return, its start.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Epoch {
    /// Process id.
    pub pid: u32,
    /// When it started, in its driver's unit.
    pub start: u64,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which process; another one may know nothing of what was told to the one before.
    pub epoch: Epoch,
    /// Replicas that get new requests, as far as it can be read back.
    pub serving: BTreeSet<String>,
    /// Replicas that should get requests, and get none since they fail its checks; NGINX can't say.
    pub down: BTreeSet<String>,
    /// Requests that wait although no replica is there to serve them.
    pub held: u32,
}

/// What a synchronisation did, and what it found at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was read back.
    pub look: Look,
    /// Whether that is what is wanted.
    pub in_sync: bool,
    /// Differences that were mended.
    pub changes: usize,
    /// Whether new processes had to take over.
    pub reloaded: bool,
    /// Whether something is left to be collected, that no request notices.
    pub pending: bool,
    /// What keeps it from being in sync, in a sentence.
    pub message: Option<String>,
}

/// What became of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateChange {
    /// It is the one that is there.
    None,
    /// The file is new; what balances does not run or does not know it yet, and will read it.
    Written,
    /// It is served from now on.
    Swapped,
    /// It is too long for a command, so HAProxy was reloaded.
    Reloaded,
}

impl Look {
    /// Addresses of `wanted` that new requests go to.
    pub fn addresses(&self, wanted: &Wanted) -> Vec<SocketAddr> {
        let serving = wanted.servers.iter().filter(|(pod, _)| self.serving.contains(*pod));
        serving.map(|(_, server)| server.address).collect()
    }
}
