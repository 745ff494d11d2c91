//! The agent with a real HAProxy on loopback, without an API server. Needs `haproxy` and `openssl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod certificate;
mod failover;
mod fixture;
mod follow;
mod killed;
mod outage;
#[path = "../support/served.rs"]
mod served;
mod sticky;
mod stop;
#[path = "../haproxy/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;
mod terminator;
mod tls;
mod zero;
