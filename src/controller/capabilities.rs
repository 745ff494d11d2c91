//! The capabilities of the operator.

use super::{capability::Capability, failover, gateway, recovery, scale, traffic, zones};

/// The capabilities of one service, in the order of their effects: shares are written before the replicas, and the replicas
/// before an outlier is evicted.
#[must_use]
pub fn all() -> Vec<Box<dyn Capability>> {
    vec![
        Box::<failover::Failing>::default(),
        Box::<scale::Scaling>::default(),
        Box::<recovery::Recovering>::default(),
        Box::<zones::Placing>::default(),
        Box::<traffic::Balancing>::default(),
        Box::<gateway::Steering>::default(),
    ]
}
