//! What users see of the controller when time passes and things fail: the whole operator in one process and in virtual
//! time, over an API server in memory and a scripted Prometheus.

// A story that can't go on has failed.
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
