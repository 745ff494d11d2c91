//! Health of a source.

use std::time::Duration;

use super::breaker::{Breaker, BreakerState};

/// Smallest clock difference that is reported, in seconds.
const SKEW_REPORTED: f64 = 30.0;

/// Health of a source, as reported.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHealth {
    /// State of the circuit breaker.
    pub breaker: BreakerState,
    /// Failures of the source since its last answer, without refused queries.
    pub failures: u32,
    /// Message of the last failed query, including refused ones; `None` once a query succeeds.
    pub last_error: Option<String>,
    /// The source's clock minus ours, if they differ by more than 30 s. It does not make samples stale.
    pub skew_seconds: Option<f64>,
}

/// Internal state of a source's health.
pub(super) struct Health {
    pub breaker: Breaker,
    /// Whether the check query is running, which shows if the source answers at all.
    pub checking: bool,
    /// Time of the last answer, including the refusal of a query.
    pub answered: Option<Duration>,
    pub last_error: Option<String>,
    /// The server's clock minus ours, beyond what the round trip time explains.
    pub skew: Option<f64>,
}

impl Health {
    /// Health before the first query.
    pub fn new() -> Self {
        Self { breaker: Breaker::new(), checking: false, answered: None, last_error: None, skew: None }
    }

    /// The health as reported.
    pub fn report(&self) -> SourceHealth {
        SourceHealth {
            breaker: self.breaker.state(),
            failures: self.breaker.failures(),
            last_error: self.last_error.clone(),
            skew_seconds: self.skew.filter(|skew| skew.abs() > SKEW_REPORTED),
        }
    }
}
