use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use axum::{Router, routing::get};
use jiff::Timestamp;

use super::Server;

/// A scrape target: a steadily growing counter, a gauge, the utilisation of two pods, and a gauge with its own timestamps.
pub struct Exporter {
    pub server: Server,
    per_second: Arc<AtomicU64>,
    stopped_at: Arc<AtomicI64>,
    failed: Arc<AtomicBool>,
}

impl Exporter {
    pub async fn start() -> Self {
        let per_second = Arc::new(AtomicU64::new(100));
        let rate = Arc::clone(&per_second);
        let stopped_at = Arc::new(AtomicI64::new(i64::MAX));
        let stopped = Arc::clone(&stopped_at);
        let failed = Arc::new(AtomicBool::new(false));
        let has_failed = Arc::clone(&failed);
        let started = Instant::now();
        let metrics = move || {
            let requests = started.elapsed().as_secs_f64() * rate.load(Ordering::Relaxed) as f64;
            let time = Timestamp::now().as_millisecond().min(stopped.load(Ordering::Relaxed));
            let failures =
                if has_failed.load(Ordering::Relaxed) { "app_requests_total{code=\"500\"} 1\n" } else { "" };
            async move {
                format!(
                    "# TYPE app_requests_total counter\n\
                     app_requests_total{{code=\"200\"}} {requests}\n{failures}\
                     # TYPE app_queue gauge\napp_queue 7\n\
                     # TYPE app_cpu gauge\napp_cpu{{pod=\"a\"}} 0.25\napp_cpu{{pod=\"b\"}} 0.75\n\
                     # TYPE app_pushed gauge\napp_pushed 5 {time}\n"
                )
            }
        };
        Self {
            server: Server::start(Router::new().route("/metrics", get(metrics))).await,
            per_second,
            stopped_at,
            failed,
        }
    }

    /// Adds an error: the series of that status code exists from now on.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Stops the gauge with its own timestamps. Prometheus does not mark such a series as stale.
    pub fn stop_pushing(&self) {
        self.stopped_at.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
    }

    /// Sets the requests a second since the start; a higher rate makes the counter jump.
    pub fn set_per_second(&self, rate: u64) {
        self.per_second.store(rate, Ordering::Relaxed);
    }
}
