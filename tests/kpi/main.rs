//! KPIs against a real Prometheus, and against servers that misbehave. Needs `prometheus` and `openssl`
//! (Debian packages).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod clocks;
mod failures;
mod prometheus;
mod sharing;
mod support;
mod tls;
