//! What the service says about itself. Every series exists from the first scrape on, so
//! that a rate of errors is 0, and not empty, while there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::exposition::Page;

use super::physics::Physics;

/// Upper bounds of the buckets of `http_request_duration_seconds`, in seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How a request ended: the closed set of the label `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 200: served.
    Served = 0,
    /// 400: a header that makes no sense.
    Refused = 1,
    /// 499: the client closed the connection before there was an answer.
    Abandoned = 2,
    /// 500: an injected error, or the downstream failed.
    Failed = 3,
    /// 503: the queue is full, or the service is starting.
    Rejected = 4,
}

const CODES: [&str; 5] = ["200", "400", "499", "500", "503"];

#[derive(Default)]
pub struct Metrics {
    ended: [AtomicU64; CODES.len()],
    buckets: [AtomicU64; BOUNDS.len()],
    timed: AtomicU64,
    nanos: AtomicU64,
    in_flight: AtomicU64,
    /// When the first request came, in microseconds since 1970, 0 before: straight, and through a balancer.
    first: [AtomicU64; 2],
}

impl Metrics {
    /// Counts a request in; the result must be told how it ended.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { metrics: Arc::clone(self), begun: Instant::now(), ended: Ended::Abandoned }
    }

    /// Notes when a request came, if it is the first of its way.
    pub fn came(&self, forwarded: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        if let Some(first) = self.first.get(usize::from(forwarded)) {
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            // Only the first one takes the place of 0.
            let _ = first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub fn page(&self, physics: &Physics) -> Page {
        let mut page = Page::default();
        page.family(
            "http_requests_total",
            "counter",
            "Requests by the code of their answer (499: client gone).",
        );
        for (code, count) in CODES.iter().zip(&self.ended) {
            page.sample("http_requests_total", &format!("code=\"{code}\""), count.load(Ordering::Relaxed));
        }
        self.durations(&mut page);
        let help = "Requests that wait for a worker or are worked on.";
        page.single("http_requests_in_flight", "gauge", help, self.in_flight());
        page.single("http_queue_length", "gauge", "Requests that wait for a worker.", physics.waiting());
        page.single("shop_workers", "gauge", "Requests that can be worked on at once.", physics.workers());
        let name = "shop_first_request_timestamp_seconds";
        page.family(
            name,
            "gauge",
            "When the first request came, since 1970; 0 before. Forwarded: by a balancer.",
        );
        for (forwarded, first) in ["false", "true"].iter().zip(&self.first) {
            let seconds = first.load(Ordering::Relaxed) as f64 / 1e6;
            page.sample(name, &format!("forwarded=\"{forwarded}\""), seconds);
        }
        page.process();
        page
    }

    fn durations(&self, page: &mut Page) {
        let name = "http_request_duration_seconds";
        let help = "Time from request to answer, of all requests but those that were turned away (400, 503).";
        page.family(name, "histogram", help);
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.buckets) {
            below += count.load(Ordering::Relaxed);
            page.sample("http_request_duration_seconds_bucket", &format!("le=\"{bound}\""), below);
        }
        // A request may be counted between two loads: +Inf must never be below the last bucket.
        let all = self.timed.load(Ordering::Relaxed).max(below);
        page.sample("http_request_duration_seconds_bucket", "le=\"+Inf\"", all);
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        page.sample("http_request_duration_seconds_sum", "", seconds);
        page.sample("http_request_duration_seconds_count", "", all);
    }

    fn time(&self, taken: Duration) {
        let seconds = taken.as_secs_f64();
        if let Some((_, bucket)) = BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| seconds <= **bound) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.timed.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A request that is being served. Dropped without an end, its client has gone.
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
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = self.metrics.ended.get(self.ended as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // An answer that costs no work is fast: timed, it would make an overloaded service look
        // healthy. One whose client gave up is timed, or the slowest would be missing.
        if !matches!(self.ended, Ended::Refused | Ended::Rejected) {
            self.metrics.time(self.begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::physics::Shape;

    fn physics() -> Physics {
        let service_time = Duration::from_millis(20);
        Physics::new(Shape { workers: 4, queue_limit: 1, service_time, jitter: 0.0, cpu_share: 0.0, seed: 1 })
    }

    #[tokio::test(start_paused = true)]
    async fn every_code_is_there_before_the_first_request() {
        let page = Metrics::default().page(&physics());
        for code in CODES {
            let wanted = format!("http_requests_total{{code=\"{code}\"}} 0\n");
            assert!(page.text().contains(&wanted), "{wanted}");
        }
        assert!(page.text().contains("shop_workers 4\n"));
        assert!(page.text().contains("http_request_duration_seconds_bucket{le=\"+Inf\"} 0\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_and_timed_once() {
        let metrics = Arc::new(Metrics::default());
        metrics.came(true);
        let first = metrics.page(&physics()).text().to_owned();
        metrics.came(true);
        let (served, abandoned, rejected) = (metrics.begin(), metrics.begin(), metrics.begin());
        assert_eq!(metrics.in_flight(), 3);
        rejected.end(Ended::Rejected);
        tokio::time::advance(Duration::from_millis(20)).await;
        served.end(Ended::Served);
        tokio::time::advance(Duration::from_secs(20)).await;
        drop(abandoned);
        let page = metrics.page(&physics());
        let of_first =
            |text: &str| text.lines().find(|line| line.contains("forwarded=\"true\"")).map(str::to_owned);
        assert!(of_first(&first).is_some() && of_first(&first) == of_first(page.text()), "{first}");
        for wanted in [
            "shop_first_request_timestamp_seconds{forwarded=\"false\"} 0\n",
            "http_requests_total{code=\"200\"} 1\n",
            "http_requests_total{code=\"499\"} 1\n",
            "http_requests_total{code=\"503\"} 1\n",
            "http_request_duration_seconds_bucket{le=\"0.01\"} 0\n",
            "http_request_duration_seconds_bucket{le=\"0.025\"} 1\n",
            "http_request_duration_seconds_bucket{le=\"10\"} 1\n",
            "http_request_duration_seconds_bucket{le=\"+Inf\"} 2\n",
            "http_request_duration_seconds_count 2\n",
            "http_request_duration_seconds_sum 20.04\n",
            "http_requests_in_flight 0\n",
        ] {
            assert!(page.text().contains(wanted), "{wanted} in\n{}", page.text());
        }
    }
}
