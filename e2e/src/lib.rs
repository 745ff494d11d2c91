//! The real Kubernetes cluster on one machine, and what is proven on it.
//!
//! This library is for tests and for the developer's verbs in `xtask`; nothing
//! of it is part of the operator.

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
