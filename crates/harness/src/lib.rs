//! Runs the whole controller in one process and in virtual time: an API server in memory, a scripted Prometheus, a
//! model of Kubernetes' own controllers, and operators over them.
//!
//! Everything here is for tests: a failed expectation panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod apiserver;
pub mod election;
pub mod explain;
pub mod history;
mod pods;
pub mod prometheus;
pub mod workloads;
pub mod world;
