//! KPIs from a real Prometheus, and from failing servers. Needs `prometheus` (a
//! Debian package).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod clocks;
mod failures;
#[path = "../support/pki.rs"]
#[allow(dead_code)]
mod pki;
mod prometheus;
mod sharing;
mod support;
mod tls;
