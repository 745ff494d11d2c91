//! A real Kubernetes cluster on one machine, and the end-to-end cases and benches that run on it.
//!
//! This library is for tests and for the developer commands in `xtask`; the
//! operator does not use it.

mod authority;
pub mod bench;
pub mod cases;
pub mod cluster;
pub mod demo;
pub mod metrics;
pub mod object;
mod prelude;
pub mod process;
pub mod stage;
