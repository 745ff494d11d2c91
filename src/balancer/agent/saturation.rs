//! How saturated the balancer is, for its entry in status and its metrics.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::metrics::AgentMetrics;
use crate::balancer::{Driver, Usage};
use plimsoll_api::Percent;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(5);
/// Looks over which CPU time is averaged, 30 s in all: a burst of a second costs nobody a request.
const AVERAGED: usize = 6;
/// What is told moves in steps of at least so many points, since each is a write to the API server.
const STEP: u8 = 10;

/// The last looks, and what was told of them.
#[derive(Debug, Default)]
struct Saturation {
    cpu: VecDeque<Percent>,
    told: Option<Percent>,
}

impl Saturation {
    /// What is in use: the largest of connections, requests and CPU time. `None` if nothing is known.
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

    /// What to tell: the last word as long as it is about right.
    fn tell(&mut self, now: Option<Percent>) -> Option<Percent> {
        let apart = |told: Percent, now: Percent| u8::from(told).abs_diff(now.into());
        let about = matches!((self.told, now), (Some(told), Some(now)) if apart(told, now) < STEP);
        if !about {
            self.told = now;
        }
        self.told
    }
}

/// Looks until nobody listens any more. A balancer that does not run is not saturated.
pub async fn measure_saturation(
    driver: &Driver,
    metrics: &AgentMetrics,
    told: watch::Sender<Option<Percent>>,
) {
    let mut saturation = Saturation::default();
    while !told.is_closed() {
        let usage = driver.usage().await.unwrap_or_default();
        let now = saturation.now(usage);
        metrics.saturated(now.unwrap_or_default());
        let tells = saturation.tell(now);
        told.send_if_modified(|before| std::mem::replace(before, tells) != tells);
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
    fn connections_and_requests_count_at_once_and_cpu_time_on_average() {
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
    fn what_moves_a_little_is_not_told_again() {
        let mut saturation = Saturation::default();
        let told: Vec<_> = [None, Some(40), Some(49), Some(50), Some(42), Some(40), None]
            .into_iter()
            .map(|now| saturation.tell(now.and_then(Percent::new)).map(u8::from))
            .collect();
        assert_eq!(told, [None, Some(40), Some(40), Some(50), Some(50), Some(40), None]);
    }
}
