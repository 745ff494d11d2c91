//! Shared by the tests: an exporter, a real Prometheus, a proxy that reports wrong times, a server that records requests.

mod exporter;
mod prometheus;
mod proxy;
mod recorder;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use axum::Router;
use plimsoll::kpi::{Asker, KpiReader};
use plimsoll_api::{Criticality, Goal, KpiRule, VolumeRule};
use plimsoll_engine::Sample;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use exporter::Exporter;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use recorder::Recorder;

pub const LOAD: Goal = Goal::PerReplica(100.0);
pub const AVERAGE: Goal = Goal::Average(0.5);
pub const OBJECTIVE: Goal = Goal::AtMost(0.25);

/// A server on a free loopback port; it is stopped on drop.
pub struct Server {
    pub address: String,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        // Gracefully, since a kept connection would outlive its listener.
        let serve = axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) });
        tokio::spawn(async { serve.await.unwrap() });
        Self { address, _stop: stop }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

pub fn rule(goal: Goal, query: &str) -> KpiRule {
    KpiRule {
        name: "k".into(),
        query: query.into(),
        source: "default".into(),
        goal,
        empty_is_zero: false,
        volume: VolumeRule::Unused,
    }
}

/// The service of all queries.
pub fn asker() -> Asker {
    Asker::new("shop", "checkout", Criticality::Critical)
}

/// Queries again, without cached answers.
pub async fn ask(reader: &KpiReader, goal: Goal, query: &str) -> Sample {
    let mut samples: BTreeMap<String, Sample> =
        reader.ask(&asker(), &[rule(goal, query)], Duration::ZERO).await;
    samples.remove("k").expect("each rule has a sample")
}

/// Waits until `look` returns a value; fails with `what` after `limit`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
