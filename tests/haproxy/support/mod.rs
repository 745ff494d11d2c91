//! Shared by the tests: a HAProxy, replicas, and clients that count their requests.

pub mod access_log;
pub mod balancer;
mod client;
pub mod forwarded;
pub mod http2;
#[path = "../../support/pki.rs"]
pub mod pki;
pub mod program;
mod replica;
pub mod slow;
mod tls;
pub mod upgrade;

pub use balancer::{Balancer, Reached, traffic, wanted};
pub use client::{Client, Load};
pub use pki::{p256, rsa2048, rsa4096, self_signed};
pub use replica::{Replica, all_served};
pub use tls::{TLS12, takes_tls12};

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use plimsoll::balancer::haproxy::{Report, Step};

/// An unused loopback address, with port 0 for any free port. Each call returns another address: a balancer of another
/// test may still check the health of a replica that ended, and the kernel may assign the port of that replica again.
pub fn unused_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() & 0x3ff) << 12 | (COUNT.fetch_add(1, Ordering::Relaxed) & 0xfff);
    let network = u32::from(Ipv4Addr::new(127, 64, 0, 0));
    (Ipv4Addr::from(network + number), 0).into()
}

/// Peak memory of a process, in bytes.
pub fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The configuration without the lines that contain `part`; there must be at least one.
pub fn without(text: &str, part: &str) -> String {
    assert!(text.contains(part), "{part}: {text}");
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains(part)).collect();
    kept.join("\n") + "\n"
}

/// Polls until `ask` returns a value; panics with `what` after 15 s.
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

/// The steps of a sync, except the unlimited connection limits that HAProxy 3.0 needs after each start.
pub fn steps(report: &Report) -> Vec<&Step> {
    let steps = report.steps.iter().map(|done| &done.step);
    steps.filter(|step| !matches!(step, Step::Limit(_, 100_000))).collect()
}
