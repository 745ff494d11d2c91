//! The NGINX driver, and the agent with it, with a real NGINX on loopback. Needs `nginx` and `openssl` (Debian
//! packages).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod abuse;
mod access_log;
mod agent;
mod certificate;
mod change;
mod config;
mod drain;
mod failover;
mod forwarded;
mod loops;
mod passing;
mod process;
mod proxy;
#[path = "../support/served.rs"]
mod served;
mod supervisor;
#[path = "../haproxy/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;
#[path = "../agent/terminator.rs"]
mod terminator;
