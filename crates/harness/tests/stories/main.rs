//! The controller's behavior over time and under faults: the whole operator in one process and in virtual time, with an
//! API server in memory and a scripted Prometheus.

// A panic fails the story.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api_server;
mod balancers;
mod conflict;
mod events;
mod failover;
mod leader;
mod manifests;
mod marks;
mod memory;
mod modes;
mod outage;
mod outage_faults;
mod restart;
mod restore;
mod schedule;
mod sources;
mod takeover;
mod unreadable;
mod waves;
mod writes;
mod zero;
