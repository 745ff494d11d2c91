//! Failover input of a turn.

use std::{collections::BTreeSet, net::SocketAddr};

use plimsoll_api::FailoverStatus;

/// Failover input of a turn, besides the service's own pods and samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailoverInput {
    /// The last written status.
    pub last_written: Option<FailoverStatus>,
    /// The standbys in the order of the spec. The state of a missing one is not known yet.
    pub standbys: Vec<StandbySeen>,
    /// The manual override, if any.
    pub manual_override: Option<ManualOverride>,
    /// Sources whose KPIs made so many services leave their primaries within a minute that the source may be wrong.
    pub correlated_failures: BTreeSet<String>,
}

/// One standby.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandbySeen {
    /// Its name in the spec.
    pub name: String,
    /// Its addresses; empty until they are known.
    pub addresses: Vec<SocketAddr>,
    /// Why it can't take requests, as a sentence; `None` if it can.
    pub trouble: Option<String>,
    /// Replicas of its ScalableService; `None` if no ScalableService scales it.
    pub capacity: Option<Capacity>,
}

/// The replicas of a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Ready replicas.
    pub ready: i32,
    /// Replicas that it needs for its own requests.
    pub own: i32,
    /// Its maxReplicas.
    pub most: i32,
}

/// A manual override by annotation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManualOverride {
    /// Nothing is moved; the value is the reason from the annotation.
    Freeze(String),
    /// All requests go to this backend.
    To(String),
}

/// Sum of the claims of other services on this one as their standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Claimed replicas.
    pub replicas: i32,
    /// Claimed replicas whose requests already arrive here.
    pub arrived: i32,
}
