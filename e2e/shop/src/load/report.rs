//! The report of a run: every due request counts in exactly one outcome.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Why a request got no (whole) answer: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No whole answer in time.
    Timeout,
    /// The connection was refused.
    Refused,
    /// No route, or the network rejected it.
    Unreachable,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection before the answer was complete.
    Closed,
    /// The answer is not HTTP.
    Malformed,
    /// The server's certificate is not trusted, or the server does not speak TLS.
    Tls,
    /// The target's name was not resolved.
    Dns,
    /// Not started: too many requests were in flight.
    ClientLimit,
    /// This machine has no file descriptor or port left.
    ClientResources,
    Other,
}

/// Result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered(u16),
    Failed(Failure),
}

/// Counts of one second, or of the whole run.
struct Counts {
    sent: u64,
    ok: u64,
    http_errors: u64,
    transport_errors: u64,
    late: u64,
    first_ok: Option<SystemTime>,
    /// Microseconds of successful responses and of timeouts. The latency of other errors has no meaning.
    latencies: Histogram<u64>,
}

impl Counts {
    fn new() -> anyhow::Result<Self> {
        // 1 µs to 1 h at three digits.
        let latencies = Histogram::new_with_bounds(1, 3_600_000_000, 3)?;
        Ok(Self { sent: 0, ok: 0, http_errors: 0, transport_errors: 0, late: 0, first_ok: None, latencies })
    }

    fn end(&mut self, outcome: Outcome, latency: Duration, late: bool) {
        match outcome {
            Outcome::Answered(..400) => {
                self.ok += 1;
                self.first_ok.get_or_insert_with(SystemTime::now);
            }
            Outcome::Answered(_) => self.http_errors += 1,
            Outcome::Failed(_) => self.transport_errors += 1,
        }
        self.late += u64::from(late);
        if matches!(outcome, Outcome::Answered(..400) | Outcome::Failed(Failure::Timeout)) {
            self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// In seconds; `None` if there was no request.
    fn percentile(&self, share: f64) -> Option<f64> {
        (!self.latencies.is_empty()).then(|| self.latencies.value_at_quantile(share) as f64 / 1e6)
    }

    fn reset(&mut self) {
        (self.sent, self.ok, self.http_errors, self.transport_errors, self.late) = (0, 0, 0, 0, 0);
        self.first_ok = None;
        self.latencies.reset();
    }
}

/// One line of the output: a second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Seconds since the start, at the end of this second.
    pub t: u64,
    /// Requests planned in this second.
    pub offered: f64,
    /// Requests that became due in this second.
    pub sent: u64,
    pub ok: u64,
    pub http_errors: u64,
    pub transport_errors: u64,
    pub late: u64,
    /// Unix time of the end of this second's first successful response.
    pub first_ok: Option<f64>,
    /// Seconds.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub in_flight: u64,
}

/// The last line: the whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub duration_seconds: f64,
    /// Requests planned up to the end.
    pub offered: f64,
    /// Connections that were opened.
    pub connections: u64,
    /// Requests that became due: `ok + http_errors + transport_errors`.
    pub sent: u64,
    pub ok: u64,
    pub http_errors: u64,
    pub transport_errors: u64,
    pub codes: BTreeMap<u16, u64>,
    pub failures: BTreeMap<Failure, u64>,
    /// Unix time of the end of the first successful response.
    pub first_ok: Option<f64>,
    /// Unix time of the end of the last request without a successful response.
    pub last_bad: Option<f64>,
    pub late: u64,
    pub late_share: f64,
    /// Seconds, as all percentiles.
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
    /// Longest delay between the due time of a request and its start: the generator's own lag,
    /// which is part of the latencies. Large values mean that this machine is overloaded.
    pub max_lag_seconds: f64,
}

/// Collects outcomes. `sent` counts at the start of a request, the rest at its end.
pub struct Report {
    objective: Duration,
    second: Counts,
    total: Counts,
    codes: BTreeMap<u16, u64>,
    failures: BTreeMap<Failure, u64>,
    last_bad: Option<SystemTime>,
    in_flight: u64,
    max_lag: Duration,
}

impl Report {
    pub fn new(objective: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            objective,
            second: Counts::new()?,
            total: Counts::new()?,
            codes: BTreeMap::new(),
            failures: BTreeMap::new(),
            last_bad: None,
            in_flight: 0,
            max_lag: Duration::ZERO,
        })
    }

    /// A request is due; it is started this much later.
    pub fn start(&mut self, lag: Duration) {
        self.second.sent += 1;
        self.total.sent += 1;
        self.in_flight += 1;
        self.max_lag = self.max_lag.max(lag);
    }

    /// A started request ended; `latency` counts from the moment it was due.
    pub fn end(&mut self, outcome: Outcome, latency: Duration) {
        let late = !matches!(outcome, Outcome::Answered(..400)) || latency > self.objective;
        self.second.end(outcome, latency, late);
        self.total.end(outcome, latency, late);
        if !matches!(outcome, Outcome::Answered(..400)) {
            self.last_bad = Some(SystemTime::now());
        }
        match outcome {
            Outcome::Answered(code) => *self.codes.entry(code).or_default() += 1,
            Outcome::Failed(failure) => *self.failures.entry(failure).or_default() += 1,
        }
        self.in_flight -= 1;
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The line of the second that ends now; begins the next one.
    pub fn line(&mut self, t: u64, offered: f64) -> Line {
        let second = &self.second;
        let line = Line {
            t,
            offered: (offered * 1e3).round() / 1e3,
            sent: second.sent,
            ok: second.ok,
            http_errors: second.http_errors,
            transport_errors: second.transport_errors,
            late: second.late,
            first_ok: second.first_ok.map(unix),
            p50: second.percentile(0.5),
            p99: second.percentile(0.99),
            in_flight: self.in_flight,
        };
        self.second.reset();
        line
    }

    pub fn summary(&self, duration: Duration, offered: f64, connections: u64) -> Summary {
        let total = &self.total;
        Summary {
            duration_seconds: duration.as_secs_f64(),
            offered: (offered * 1e3).round() / 1e3,
            connections,
            sent: total.sent,
            ok: total.ok,
            http_errors: total.http_errors,
            transport_errors: total.transport_errors,
            codes: self.codes.clone(),
            failures: self.failures.clone(),
            first_ok: total.first_ok.map(unix),
            last_bad: self.last_bad.map(unix),
            late: total.late,
            late_share: if total.sent == 0 { 0.0 } else { total.late as f64 / total.sent as f64 },
            p50: total.percentile(0.5),
            p90: total.percentile(0.9),
            p99: total.percentile(0.99),
            p999: total.percentile(0.999),
            max: total.percentile(1.0),
            max_lag_seconds: self.max_lag.as_secs_f64(),
        }
    }
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_exactly_one_outcome() {
        let mut report = Report::new(Duration::from_millis(250)).expect("bounds");
        let millis = Duration::from_millis;
        let ended = [
            (Outcome::Answered(200), 20),
            (Outcome::Answered(204), 251),
            (Outcome::Answered(503), 1),
            (Outcome::Failed(Failure::Timeout), 2_000),
            (Outcome::Failed(Failure::Refused), 1),
        ];
        for (outcome, latency) in ended {
            report.start(millis(1));
            report.end(outcome, millis(latency));
        }
        report.start(millis(3));
        let line = report.line(1, 6.0);
        assert_eq!((line.sent, line.ok, line.http_errors, line.transport_errors), (6, 2, 1, 2));
        assert_eq!((line.late, line.in_flight), (4, 1));
        report.end(Outcome::Answered(200), millis(30));
        let line = report.line(2, 0.0);
        assert_eq!((line.sent, line.ok, line.in_flight), (0, 1, 0));
        let first = line.first_ok.expect("some");

        let summary = report.summary(Duration::from_secs(2), 6.0, 1);
        assert_eq!(summary.sent, summary.ok + summary.http_errors + summary.transport_errors);
        assert_eq!(summary.codes, BTreeMap::from([(200, 2), (204, 1), (503, 1)]));
        assert_eq!(summary.failures, BTreeMap::from([(Failure::Timeout, 1), (Failure::Refused, 1)]));
        assert_eq!((summary.late, summary.max_lag_seconds), (4, 0.003));
        assert!(summary.first_ok.expect("some") < first, "of this second, not of the whole run");
        assert!(summary.first_ok.expect("some") <= summary.last_bad.expect("some"), "{summary:?}");
        // Fast errors are not among 20, 30, 251 and 2000 ms.
        assert!((summary.p50.expect("some") - 0.030).abs() < 1e-4, "{:?}", summary.p50);
        assert!((summary.max.expect("some") - 2.0).abs() < 2e-3, "{:?}", summary.max);
        let text = serde_json::to_string(&summary).expect("json");
        assert!(text.contains("\"failures\":{\"timeout\":1,\"refused\":1}"), "{text}");
    }

    #[test]
    fn without_requests_there_is_no_percentile() {
        let summary = Report::new(Duration::from_millis(1)).expect("bounds").summary(Duration::ZERO, 0.0, 0);
        assert_eq!((summary.p50, summary.max, summary.late_share), (None, None, 0.0));
    }
}
