//! Durations of leader election.

use std::time::Duration;

/// The three times of leader election; the defaults are client-go's: 15 s, 10 s and 2 s.
///
/// The ratio of `duration` to `renew_deadline` is the tolerated ratio of the clock rates of two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseParams {
    duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

/// Inconsistent durations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLeaseParams {
    /// A Lease object holds whole seconds.
    #[error("the lease duration is {0:?}; it must be a whole number of seconds from 1 s to 3600 s")]
    Duration(Duration),
    /// The leader must have stopped before another one may start.
    #[error("the renew deadline is {deadline:?}; it must be shorter than the lease duration of {duration:?}")]
    RenewDeadline {
        /// The given deadline.
        deadline: Duration,
        /// The lease duration, its exclusive maximum.
        duration: Duration,
    },
    /// There must be time for a second attempt after a failed renewal.
    #[error(
        "the retry period is {period:?}; it must be from 100 ms to half the renew deadline of {deadline:?}"
    )]
    RetryPeriod {
        /// The given period.
        period: Duration,
        /// The renew deadline; at most half of it is allowed.
        deadline: Duration,
    },
}

impl Default for LeaseParams {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(15), renew_deadline: seconds(10), retry_period: seconds(2) }
    }
}

impl LeaseParams {
    const DURATION_MAX: Duration = Duration::from_secs(3600);
    const RETRY_PERIOD_MIN: Duration = Duration::from_millis(100);

    /// Custom durations.
    ///
    /// # Errors
    /// The durations are inconsistent; the message has the value and the allowed range.
    pub fn new(
        duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, InvalidLeaseParams> {
        if duration.is_zero() || duration.subsec_nanos() != 0 || duration > Self::DURATION_MAX {
            return Err(InvalidLeaseParams::Duration(duration));
        }
        if renew_deadline >= duration {
            return Err(InvalidLeaseParams::RenewDeadline { deadline: renew_deadline, duration });
        }
        if retry_period < Self::RETRY_PERIOD_MIN || retry_period > renew_deadline / 2 {
            return Err(InvalidLeaseParams::RetryPeriod { period: retry_period, deadline: renew_deadline });
        }
        Ok(Self { duration, renew_deadline, retry_period })
    }

    /// How long other candidates wait after the last observed change of the lease before they acquire it.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How long a leader keeps leading after sending its last successful renewal.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// Time between two checks of a follower, and between two renewals.
    #[must_use]
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// Time limit of one request: half the renew deadline, so that there is time for another attempt.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.renew_deadline / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(duration: u64, deadline: u64, period: u64) -> Result<LeaseParams, InvalidLeaseParams> {
        let millis = Duration::from_millis;
        LeaseParams::new(millis(duration), millis(deadline), millis(period))
    }

    #[test]
    fn the_defaults_are_those_of_client_go_and_valid() {
        assert_eq!(millis(15_000, 10_000, 2_000), Ok(LeaseParams::default()));
        assert_eq!(LeaseParams::default().request_timeout(), Duration::from_secs(5));
    }

    #[test]
    fn inconsistent_durations_are_refused_with_the_allowed_range() {
        for (params, message) in [
            (
                millis(1_500, 1_000, 100),
                "the lease duration is 1.5s; it must be a whole number of seconds from 1 s to 3600 s",
            ),
            (
                millis(0, 0, 0),
                "the lease duration is 0ns; it must be a whole number of seconds from 1 s to 3600 s",
            ),
            (
                millis(3_601_000, 10, 1),
                "the lease duration is 3601s; it must be a whole number of seconds from 1 s to 3600 s",
            ),
            (
                millis(15_000, 15_000, 2_000),
                "the renew deadline is 15s; it must be shorter than the lease duration of 15s",
            ),
            (
                millis(15_000, 10_000, 5_001),
                "the retry period is 5.001s; it must be from 100 ms to half the renew deadline of 10s",
            ),
            (
                millis(15_000, 10_000, 99),
                "the retry period is 99ms; it must be from 100 ms to half the renew deadline of 10s",
            ),
        ] {
            assert_eq!(params.expect_err(message).to_string(), message);
        }
    }
}
