//! Metrics of the service. Every series exists from the first scrape on, so that an error
//! rate is 0 instead of empty while there are no errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::exposition::{self, Page};

use super::physics::Physics;

/// Result of a request: the closed set of values of the label `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Served = 200,
    /// An invalid header.
    Refused = 400,
    /// The client closed the connection before there was an answer.
    Abandoned = 499,
    /// An injected error, or the downstream failed.
    Failed = 500,
    /// The queue is full, or the service is starting.
    Rejected = 503,
}

/// A metric for each value of one label.
type By<V, M> = Family<[(&'static str, V); 1], M>;

pub struct Metrics {
    ended: By<u16, Counter>,
    durations: Histogram,
    in_flight: Gauge,
    /// Unix time of the first request, 0 before: direct, and through a balancer.
    first: By<bool, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let ended = By::<u16, Counter>::default();
        for end in [Ended::Served, Ended::Refused, Ended::Abandoned, Ended::Failed, Ended::Rejected] {
            ended.get_or_create_owned(&[("code", end as u16)]);
        }
        let first = By::<bool, Gauge<f64, AtomicU64>>::default();
        for forwarded in [false, true] {
            first.get_or_create_owned(&[("forwarded", forwarded)]);
        }
        let durations = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        Self { ended, durations, in_flight: Gauge::default(), first }
    }
}

impl Metrics {
    /// Begins a request; the caller ends the result with its outcome.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.inc();
        InFlight { metrics: Arc::clone(self), begun: Instant::now(), ended: Ended::Abandoned }
    }

    /// Records the time of a request, if it is the first of its kind: direct or forwarded.
    pub fn record_first(&self, forwarded: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let first = self.first.get_or_create(&[("forwarded", forwarded)]);
        // Only the first one replaces 0, whose bits are 0 too.
        let _ = first.inner().compare_exchange(0, now.to_bits(), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    pub fn page(&self, physics: &Physics) -> Page {
        let mut shown = Registry::default();
        let help = "Requests by status code (499: closed by the client)";
        shown.register("http_requests", help, self.ended.clone());
        let help = "Time from request to answer, except of rejected requests (400, 503)";
        shown.register("http_request_duration_seconds", help, self.durations.clone());
        let help = "Requests that wait for a worker or are being served";
        shown.register("http_requests_in_flight", help, self.in_flight.clone());
        let help = "Requests that wait for a worker";
        shown.register("http_queue_length", help, ConstGauge::new(physics.waiting()));
        let help = "Requests that can be served at the same time";
        shown.register("shop_workers", help, ConstGauge::new(physics.workers()));
        let help = "Unix time of the first request; 0 before. Forwarded: by a balancer";
        shown.register("shop_first_request_timestamp_seconds", help, self.first.clone());
        exposition::page(shown)
    }
}

/// A request that is being served. If it is dropped without an end, the client has closed the connection.
pub struct InFlight {
    metrics: Arc<Metrics>,
    begun: Instant,
    ended: Ended,
}

impl InFlight {
    pub fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.ended.get_or_create(&[("code", self.ended as u16)]).inc();
        // Rejections are fast: their times would make an overloaded service look healthy. Requests
        // that the client aborted are observed, because otherwise the slowest would be missing.
        if !matches!(self.ended, Ended::Refused | Ended::Rejected) {
            self.metrics.durations.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serve::physics::Shape;

    fn physics() -> Physics {
        let service_time = Duration::from_millis(20);
        Physics::new(Shape { workers: 4, queue_limit: 1, service_time, jitter: 0.0, cpu_share: 0.0, seed: 1 })
    }

    #[tokio::test(start_paused = true)]
    async fn every_code_is_exported_before_the_first_request() {
        let (_, page) = Metrics::default().page(&physics());
        for code in [200, 400, 499, 500, 503] {
            let wanted = format!("http_requests_total{{code=\"{code}\"}} 0\n");
            assert!(page.contains(&wanted), "{wanted}");
        }
        assert!(page.contains("shop_workers 4\n"));
        assert!(page.contains("http_request_duration_seconds_bucket{le=\"+Inf\"} 0\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_and_timed_once() {
        let metrics = Arc::new(Metrics::default());
        metrics.record_first(true);
        let (_, first) = metrics.page(&physics());
        metrics.record_first(true);
        let (served, abandoned, rejected) = (metrics.begin(), metrics.begin(), metrics.begin());
        assert_eq!(metrics.in_flight(), 3);
        rejected.end(Ended::Rejected);
        tokio::time::advance(Duration::from_millis(20)).await;
        served.end(Ended::Served);
        tokio::time::advance(Duration::from_secs(20)).await;
        drop(abandoned);
        let (_, page) = metrics.page(&physics());
        let of_first =
            |text: &str| text.lines().find(|line| line.contains("forwarded=\"true\"")).map(str::to_owned);
        assert!(of_first(&first).is_some() && of_first(&first) == of_first(&page), "{first}");
        for wanted in [
            "shop_first_request_timestamp_seconds{forwarded=\"false\"} 0.0\n",
            "http_requests_total{code=\"200\"} 1\n",
            "http_requests_total{code=\"499\"} 1\n",
            "http_requests_total{code=\"503\"} 1\n",
            "http_request_duration_seconds_bucket{le=\"0.01\"} 0\n",
            "http_request_duration_seconds_bucket{le=\"0.025\"} 1\n",
            "http_request_duration_seconds_bucket{le=\"10.0\"} 1\n",
            "http_request_duration_seconds_bucket{le=\"+Inf\"} 2\n",
            "http_request_duration_seconds_count 2\n",
            "http_request_duration_seconds_sum 20.04\n",
            "http_requests_in_flight 0\n",
        ] {
            assert!(page.contains(wanted), "{wanted} in\n{page}");
        }
    }
}
