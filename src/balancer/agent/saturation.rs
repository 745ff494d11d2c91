//! Utilization of the balancer, for its entry in status and its metrics.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::metrics::AgentMetrics;
use crate::balancer::{Driver, Usage};
use plimsoll_api::Percent;

/// Interval of the measurements.
const EVERY: Duration = Duration::from_secs(5);
/// Measurements over which CPU time is averaged, 30 s in all: a burst of a second costs no request.
const AVERAGED: usize = 6;
/// Smallest reported change in percentage points, since each report is a write to the API server.
const STEP: u8 = 10;

/// The last measurements, and the last reported value.
#[derive(Debug, Default)]
struct Saturation {
    cpu: VecDeque<Percent>,
    reported: Option<Percent>,
}

impl Saturation {
    /// The utilization: the largest of connections, requests and CPU time. `None` if nothing is known.
    fn now(&mut self, usage: Usage) -> Option<Percent> {
        match usage.cpu {
            Some(cpu) => self.cpu.push_back(cpu),
            None => self.cpu.clear(),
        }
        while self.cpu.len() > AVERAGED {
            self.cpu.pop_front();
        }
        let sum: i64 = self.cpu.iter().map(|cpu| i64::from(*cpu)).sum();
        let cpu = sum.checked_div(self.cpu.len() as i64).map(Percent::clamped);
        usage.connections.max(usage.requests).max(cpu)
    }

    /// The value to report: the last reported one while it is about right.
    fn report(&mut self, now: Option<Percent>) -> Option<Percent> {
        let apart = |last: Percent, now: Percent| u8::from(last).abs_diff(now.into());
        let about = matches!((self.reported, now), (Some(last), Some(now)) if apart(last, now) < STEP);
        if !about {
            self.reported = now;
        }
        self.reported
    }
}

/// Measures until the receiver is dropped. The utilization of a balancer that does not run is unknown, and 0 in the
/// metric.
pub async fn measure_saturation(
    driver: &Driver,
    metrics: &AgentMetrics,
    reported: watch::Sender<Option<Percent>>,
) {
    let mut saturation = Saturation::default();
    while !reported.is_closed() {
        let usage = driver.usage().await.unwrap_or_default();
        let now = saturation.now(usage);
        metrics.saturated(now.unwrap_or_default());
        let value = saturation.report(now);
        reported.send_if_modified(|before| std::mem::replace(before, value) != value);
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(connections: i64, cpu: i64) -> Usage {
        Usage { connections: Percent::new(connections), requests: Percent::new(5), cpu: Percent::new(cpu) }
    }

    #[test]
    fn connections_and_requests_count_immediately_and_cpu_time_on_average() {
        let mut saturation = Saturation::default();
        let mut now = |usage| saturation.now(usage).map(u8::from);
        assert_eq!(now(Usage::default()), None);
        for _ in 0..5 {
            assert_eq!(now(usage(10, 20)), Some(20));
        }
        assert_eq!(now(usage(10, 100)), Some(33), "a burst");
        assert_eq!(now(usage(95, 20)), Some(95));
        assert_eq!(now(Usage { requests: Percent::new(97), ..usage(10, 20) }), Some(97));
        for _ in 0..6 {
            now(usage(10, 90));
        }
        assert_eq!(now(usage(10, 90)), Some(90));
        assert_eq!(now(Usage { cpu: None, ..usage(15, 0) }), Some(15), "NGINX has no CPU time");
    }

    #[test]
    fn small_changes_are_not_reported() {
        let mut saturation = Saturation::default();
        let reported: Vec<_> = [None, Some(40), Some(49), Some(50), Some(42), Some(40), None]
            .into_iter()
            .map(|now| saturation.report(now.and_then(Percent::new)).map(u8::from))
            .collect();
        assert_eq!(reported, [None, Some(40), Some(40), Some(50), Some(50), Some(40), None]);
    }
}
