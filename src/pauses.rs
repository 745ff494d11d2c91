//! Backoff of requests to the API server.

use std::time::Duration;

use kube::runtime::utils::{Backoff, ResetTimerBackoff};

use crate::random::Random;

/// Pauses before an interrupted watch is restarted: as in client-go's reflector (0.8 s, doubling, with jitter), but with a
/// maximum of 5 s instead of 30 s, since an object that is not seen is not scaled and gets no requests.
pub struct Pauses(ResetTimerBackoff<Exponential>);

const PAUSE_MIN: Duration = Duration::from_millis(800);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After this time without a failure the pauses start over, as kube's `DefaultBackoff` does.
const RESET_AFTER: Duration = Duration::from_secs(120);

impl Pauses {
    /// Pauses whose jitter comes from `random`.
    #[must_use]
    pub fn new(random: &Random) -> Self {
        let exponential = Exponential { next: PAUSE_MIN, random: random.clone() };
        Self(ResetTimerBackoff::new(exponential, RESET_AFTER))
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new(&Random::system())
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// The pauses without the timer that resets them.
struct Exponential {
    /// The next pause without its jitter.
    next: Duration,
    random: Random,
}

impl Iterator for Exponential {
    type Item = Duration;

    /// The jitter adds up to the whole pause, as in kube's `ExponentialBackoff`.
    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.mul_f64(1.0 + self.random.fraction());
        self.next = (self.next * 2).min(PAUSE_MAX);
        Some(pause.min(PAUSE_MAX))
    }
}

impl Backoff for Exponential {
    fn reset(&mut self) {
        self.next = PAUSE_MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(pauses: &mut Pauses, count: usize) -> Vec<u128> {
        pauses.take(count).map(|pause| pause.as_millis()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_with_jitter_up_to_five_seconds_and_start_over_after_a_reset() {
        let mut least = Pauses::new(&Random::new(|| 0));
        assert_eq!(milliseconds(&mut least, 5), [800, 1600, 3200, 5000, 5000]);
        least.reset();
        assert_eq!(milliseconds(&mut least, 2), [800, 1600]);
        tokio::time::advance(RESET_AFTER + Duration::from_millis(1)).await;
        assert_eq!(milliseconds(&mut least, 1), [800], "after a long time without a failure");
        let mut half = Pauses::new(&Random::new(|| 1 << 63));
        assert_eq!(milliseconds(&mut half, 4), [1200, 2400, 4800, 5000]);
    }
}
