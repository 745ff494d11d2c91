//! The observation of a turn: replicas, pods, samples and their quality.

mod failover;
mod peers;
mod pods;
mod rotation;
mod sample;
mod topology;

use std::collections::BTreeMap;

pub use failover::{Asked, Capacity, FailoverInput, ManualOverride, StandbySeen};
pub use peers::Peers;
pub use pods::{Pod, Pods};
pub use rotation::{Member, Rotation};
pub use sample::{SAME_SAMPLE, Sample, Value, Volume};
pub(super) use sample::{average, is_apart};
pub use topology::{Placed, Topology, Witness, Zones};

/// The input of one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The target's current `spec.replicas`, without surge pods of a rollout.
    pub replicas: i32,
    /// The target's pods.
    pub pods: Pods,
    /// Samples by KPI name; a KPI without a sample counts as `Error`.
    pub samples: BTreeMap<String, Sample>,
    /// Requests held at the load balancers because no replica is ready.
    pub held: i32,
    /// The replicas as the load balancers see them; `None` without a balancer, or without a list of pods.
    pub rotation: Option<Rotation>,
    /// The replicas with their outlier sample; `None` without `spec.recovery`, or without a list of pods.
    pub peers: Option<Peers>,
    /// Failover input; `None` without `spec.failover`.
    pub failover: Option<FailoverInput>,
    /// Claims of the services that use this one as their standby.
    pub asked: Asked,
    /// Locations of the replicas; `None` without a list of pods.
    pub topology: Option<Topology>,
}
