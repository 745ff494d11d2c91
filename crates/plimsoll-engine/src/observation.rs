//! What was seen: replicas, pods and samples, each with what it is worth.

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

/// Everything that one decision is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Replicas that the target wants now (`spec.replicas`); surge pods of a rollout are not in it.
    pub replicas: i32,
    /// The target's pods.
    pub pods: Pods,
    /// Samples by the KPI's name; a KPI without one counts as `Error`.
    pub samples: BTreeMap<String, Sample>,
    /// Requests that wait at the load balancers because no replica is there to serve them.
    pub held: i32,
    /// The replicas as the load balancers have them; `None` without a balancer, or without a list of pods.
    pub rotation: Option<Rotation>,
    /// The replicas side by side; `None` without `spec.recovery`, or without a list of pods.
    pub peers: Option<Peers>,
    /// What is seen around a failover; `None` without `spec.failover`.
    pub standing: Option<FailoverInput>,
    /// What the services ask whose standby this one is.
    pub asked: Asked,
    /// Where the replicas are; `None` without a list of pods.
    pub topology: Option<Topology>,
}
