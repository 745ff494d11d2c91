//! Metrics, logs and health of Plimsoll itself. This module makes no decisions and writes nothing to the cluster.

mod document;
mod health;
mod log;
mod metrics;
mod server;
mod services;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use health::{Health, Latch};
pub use log::{LogError, LogFormat, init as init_log};
pub use metrics::{Metrics, WriteResult};
pub use server::serve;
pub use services::{ServiceLook, TrafficLook};
pub use text::open_metrics;
