//! The capabilities of the operator.

use super::{capability::Capability, failover, gateway, recovery, scale, traffic, zones};

/// The capabilities of one service, in the order in which their effects are carried out: requests are sent elsewhere before
/// replicas are written, and replicas are written before one of them is evicted.
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
