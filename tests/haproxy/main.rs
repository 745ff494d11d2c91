//! The HAProxy driver against a real HAProxy on loopback. Needs `haproxy` and `openssl` (Debian packages).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod abuse;
mod access_log;
mod certificate;
mod change;
mod config;
mod drain;
mod failover;
mod forwarded;
mod hold;
mod loops;
mod priority;
mod process;
mod retries;
mod sticky;
mod support;
mod zone;
