//! Retries of the status write. Pure, except for the clock.

use std::time::Duration;

use tokio::time::Instant;

use plimsoll_api::ScalableServiceStatus;

/// First pause after a failed write of the status; it doubles with each failure in a row.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause while the API server does not answer, so that the status is up to date soon after it recovers.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause while the API server rejects the status, which is rarely transient.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Retry state of a status that could not be written yet.
#[derive(Debug, Default)]
pub struct Unwritten {
    /// Failures in a row.
    failures: u32,
    /// When to try again.
    not_before: Option<Instant>,
    /// The last status whose events were published.
    pub announced: Option<ScalableServiceStatus>,
}

impl Unwritten {
    /// How long to wait before the next attempt.
    pub fn wait(&self) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// Records a failure. Returns the pause before the next attempt.
    pub fn failed(&mut self, refused: bool) -> Duration {
        let longest = if refused { REFUSED_PAUSE_MAX } else { PAUSE_MAX };
        let pause = (PAUSE * (1 << self.failures.min(6))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        pause
    }
}
