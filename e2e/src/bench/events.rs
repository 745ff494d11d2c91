//! What becomes of requests when something happens on the cluster: the cases of traffic, failover and recovery, each
//! played five times, with what they measured.

use crate::{
    cases::{Repeated, repeat},
    prelude::*,
};

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
    "traffic-gateway",
    "traffic-killed",
    "failover-standby",
    "failover-flap",
    "failover-tls",
    "recovery-outlier",
    "recovery-budget",
    "recovery-zone",
];

/// Those that take their time: two hours for all five runs.
const LONG: &[&str] = &["long-endpoints", "long-api", "long-flap", "long-blind"];

pub fn run() -> Result<Value> {
    table(EVENTS)
}

pub fn run_long() -> Result<Value> {
    table(LONG)
}

fn table(cases: &[&str]) -> Result<Value> {
    Ok(repeat(cases, RUNS)?.iter().map(Repeated::json).collect())
}
