//! What a change behind a real HAProxy or NGINX costs: `cargo xtask bench traffic`, or
//! `cargo bench -p plimsoll --bench traffic -- PATH_OF_PLIMSOLL_SHOP`.
//!
//! The balancer, the load generator, the replicas and the driver share this machine. Every request is accounted for, clients do
//! not retry, and each kind of change has a control that must lose requests. Prints one line of JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failure is the result

mod certificates;
mod endpoints;
mod failover;
mod figures;
mod nginx;
mod plain;
#[path = "../../tests/nginx/proxy.rs"]
#[allow(dead_code)]
mod proxy;
mod serving;
mod shop;
#[path = "../../tests/haproxy/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::path::PathBuf;

use serde_json::json;

/// Runs of each kind; minimum, median and maximum are reported.
const RUNS: usize = 5;

#[tokio::main]
async fn main() {
    // `cargo bench` adds `--bench`.
    let shop = std::env::args().skip(1).find(|word| !word.starts_with("--"));
    let shop = PathBuf::from(shop.expect("the path of the program plimsoll-shop is needed"));
    let certificates = certificates::measure(&shop).await;
    let serving = serving::measure(&shop).await;
    let endpoints = endpoints::measure(&shop).await;
    let failover = failover::measure(&shop).await;
    let nginx = nginx::measure(&shop).await;
    let plain = plain::measure(&shop).await;
    println!(
        "{}",
        json!({
            "what": "HAProxy on loopback, driven over its runtime API; NGINX, driven by reloads",
            "haproxy": serving.1,
            "runs": RUNS,
            "endpoints": endpoints,
            "serving": serving.0,
            "certificates": certificates,
            "failover": failover,
            "nginx": nginx,
            "besidePlain": plain,
        })
    );
}
