//! What the tests share: a HAProxy of their own, replicas that answer, clients that count.

mod balancer;
mod client;
mod replica;

pub use balancer::{Balancer, Reached, traffic, wanted};
pub use client::{Client, Load};
pub use replica::Replica;

use std::{
    future::Future,
    time::{Duration, Instant},
};

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
