//! What the tests share: a HAProxy of their own, replicas that answer, clients that count.

pub mod balancer;
mod client;
mod openssl;
mod replica;

pub use balancer::{Balancer, Reached, traffic, wanted};
pub use client::{Client, Load};
pub use openssl::{P256, self_signed};
pub use replica::{Replica, all_served};

use std::{
    future::Future,
    time::{Duration, Instant},
};

use plimsoll::balancer::haproxy::{Report, Step};

/// Asks until there is something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(15) {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 15 s: {what}");
}

pub async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// The steps that were needed, but for the limits of any number that HAProxy 3.0 is told after each start.
pub fn steps(report: &Report) -> Vec<&Step> {
    let steps = report.steps.iter().map(|done| &done.step);
    steps.filter(|step| !matches!(step, Step::Limit(_, 100_000))).collect()
}
