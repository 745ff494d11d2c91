//! When a balancer's entry in status is written: on a change, at most once a second, but immediately if something waits
//! for its content. Pure.

use std::time::{Duration, Instant};

use plimsoll_api::BalancerStatus;

/// Time between two writes that nothing waits for.
const APART: Duration = Duration::from_secs(1);
/// Pause after the first failed write; each further failure doubles it.
const RETRY: Duration = Duration::from_millis(250);
/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The last write and its result.
#[derive(Debug, Default)]
pub struct Pace {
    written: Option<BalancerStatus>,
    tried: Option<Instant>,
    failures: u32,
}

impl Pace {
    /// When `wanted` is due to be written, which may be in the past; `None` if it is already written.
    #[must_use]
    pub fn due(&self, wanted: &BalancerStatus) -> Option<Instant> {
        if self.written.as_ref() == Some(wanted) {
            return None;
        }
        let Some(tried) = self.tried else { return Some(Instant::now()) };
        let pause = if self.failures > 0 {
            RETRY.saturating_mul(1 << (self.failures - 1).min(5)).min(RETRY_MAX)
        } else if self.written.as_ref().is_some_and(|written| is_awaited(written, wanted)) {
            Duration::ZERO
        } else {
            APART
        };
        Some(tried + pause)
    }

    /// It was written at `now`.
    pub fn wrote(&mut self, what: BalancerStatus, now: Instant) {
        *self = Self { written: Some(what), tried: Some(now), failures: 0 };
    }

    /// It could not be written at `now`.
    pub fn failed(&mut self, now: Instant) {
        self.tried = Some(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Another writer removed it.
    pub fn lost(&mut self) {
        self.written = None;
    }
}

/// Whether a scale-down, a start from zero or a failover waits for the change.
fn is_awaited(before: &BalancerStatus, after: &BalancerStatus) -> bool {
    let wakes = before.held == 0 && after.held > 0;
    wakes || before.drained != after.drained || before.answering != after.answering
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(programmed: i32, held: i32, drained: &[&str]) -> BalancerStatus {
        let drained = drained.iter().map(|pod| (*pod).to_owned()).collect();
        BalancerStatus { pod: "lb".to_owned(), programmed, held, drained, ..BalancerStatus::default() }
    }

    #[test]
    fn changes_are_written_a_second_apart_but_wake_ups_and_drained_pods_immediately() {
        let mut pace = Pace::default();
        let now = Instant::now();
        assert!(pace.due(&status(1, 0, &[])).is_some_and(|due| due <= Instant::now()), "the first one");
        pace.wrote(status(1, 0, &[]), now);
        assert_eq!(pace.due(&status(1, 0, &[])), None, "the same");
        assert_eq!(pace.due(&status(2, 0, &[])), Some(now + APART));
        assert_eq!(pace.due(&status(1, 1, &[])), Some(now), "a wake-up");
        assert_eq!(pace.due(&status(1, 0, &["a"])), Some(now), "a drained pod");
        let mut standby = status(1, 0, &[]);
        standby.answering = vec!["b".to_owned()];
        assert_eq!(pace.due(&standby), Some(now), "a standby that answers");
        pace.wrote(status(1, 1, &["a"]), now);
        assert_eq!(pace.due(&status(1, 900, &["a"])), Some(now + APART), "more of the same");
        assert_eq!(pace.due(&status(1, 1, &[])), Some(now), "a cancelled drain: it must be taken back");
        pace.lost();
        assert_eq!(pace.due(&status(1, 1, &["a"])), Some(now + APART), "a removed entry is not urgent");
    }

    #[test]
    fn failed_writes_are_retried_with_a_growing_pause() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.wrote(status(1, 0, &[]), now);
        let pauses: Vec<u128> = (0..8)
            .map(|_| {
                pace.failed(now);
                pace.due(&status(0, 1, &[])).unwrap().duration_since(now).as_millis()
            })
            .collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
        pace.wrote(status(0, 1, &[]), now);
        assert_eq!(pace.due(&status(0, 2, &[])), Some(now + APART));
    }
}
