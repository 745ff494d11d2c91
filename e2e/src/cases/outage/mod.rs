//! Outages that only a cluster can show: none may lower the replicas, each must show in the status, and each must heal
//! without help. Prometheus that answers badly and operators that die are stories of `crates/harness`.
//!
//! A shop stands under a steady load of 105 requests a second, with 10 replicas and no stabilisation window, so that
//! a wrong decision would show at once. A watch records every state of its Deployment.

mod apiserver;
mod kubelet;
mod over;
mod scrapes;
mod state;

use super::Case;

pub use state::Outage;

/// The group, in the order in which it runs; the last one of a lane takes the scene down.
pub const CASES: &[Case] =
    &[scrapes::HALF, scrapes::ALL, apiserver::API_SERVER, kubelet::KUBELET, over::OVER];
