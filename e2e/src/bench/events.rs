//! Requests lost to events on the cluster: runs the cases of traffic, failover and recovery five times each, with their
//! figures.

use crate::{
    cases::{Repeated, repeat},
    prelude::*,
};

const RUNS: usize = 5;
/// Cases with a control that loses requests, so that a loss would be detected.
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

/// The long cases: two hours for all five runs.
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
