//! Outages that need a real cluster: none may lower the replicas, each must show in the status, and the service must recover
//! from each without help. Bad answers of Prometheus and crashed operators are covered by `crates/harness`.
//!
//! A shop has a steady load of 105 requests a second, 10 replicas and no stabilization window, so that a wrong decision
//! would show immediately. A watch records every state of its Deployment.

mod apiserver;
mod kubelet;
mod over;
mod scrapes;
mod state;

use super::Case;

pub use state::Outage;

/// The group, in its order; the last case deletes the namespace.
pub const CASES: &[Case] =
    &[scrapes::HALF, scrapes::ALL, apiserver::API_SERVER, kubelet::KUBELET, over::OVER];
