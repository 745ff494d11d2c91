//! What becomes of requests when something happens on the cluster: the cases of traffic, failover and recovery, each
//! played five times, with what they measured.

use anyhow::Result;
use serde_json::Value;

use crate::cases::{Repeated, repeat};

const RUNS: usize = 5;
/// Those that lose requests where Plimsoll does not, so that a loss would be seen; with a control in each.
const EVENTS: &[&str] = &[
    "traffic-drain",
    "traffic-zero",
    "traffic-endpoints",
    "traffic-certificate",
    "traffic-sticky",
    "traffic-priorities",
    "traffic-streams",
    "traffic-nginx",
    "traffic-killed",
    "failover-standby",
    "failover-flap",
    "failover-tls",
    "recovery-outlier",
    "recovery-budget",
    "recovery-zone",
];

/// Plays them, prints their table, and returns it.
pub fn run() -> Result<Value> {
    Ok(repeat(EVENTS, RUNS)?.iter().map(Repeated::json).collect())
}
