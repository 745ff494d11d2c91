//! What is seen around a failover.

use std::{collections::BTreeSet, net::SocketAddr};

use plimsoll_api::FailoverStatus;

/// What is seen around a failover, besides the service itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailoverInput {
    /// What was done before, as status tells.
    pub last_written: Option<FailoverStatus>,
    /// The standbys in the order of the spec; one that is not here is not known.
    pub standbys: Vec<StandbySeen>,
    /// What a person said.
    pub order: Option<ManualOverride>,
    /// Sources by whose KPIs so many services left their primaries within a minute that one of them may be wrong.
    pub correlated_failures: BTreeSet<String>,
}

/// One standby.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandbySeen {
    /// Its name in the spec.
    pub name: String,
    /// Its addresses; empty as long as they are not known.
    pub addresses: Vec<SocketAddr>,
    /// Why it would take no request, in a sentence.
    pub trouble: Option<String>,
    /// What its ScalableService has; `None` if nothing scales it.
    pub capacity: Option<Capacity>,
}

/// The replicas of a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Those that are ready.
    pub ready: i32,
    /// Those that it needs for its own requests.
    pub own: i32,
    /// Its maxReplicas.
    pub most: i32,
}

/// What an annotation orders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManualOverride {
    /// Nothing is moved; why.
    Freeze(String),
    /// All requests go to this backend.
    To(String),
}

/// What other services ask of this one as their standby, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Replicas.
    pub replicas: i32,
    /// Those of them whose requests it gets by now.
    pub arrived: i32,
}
