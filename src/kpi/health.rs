//! How a source is.

use std::time::Duration;

use super::breaker::{Breaker, BreakerState};

/// A difference between the clocks that is worth telling.
const SKEW_REPORTED: f64 = 30.0;

/// How a source is.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHealth {
    /// What happens to the next query.
    pub breaker: BreakerState,
    /// Failures of the source since its last answer; refused queries are none.
    pub failures: u32,
    /// What the last query that failed said, refused ones included; `None` once one succeeds.
    pub last_error: Option<String>,
    /// The source's clock minus ours, if they differ by more than 30 s. It makes nothing stale by itself.
    pub skew_seconds: Option<f64>,
}

/// What is known of a source.
pub(super) struct Health {
    pub breaker: Breaker,
    /// Whether the query is out that tells if the source answers at all.
    pub checking: bool,
    /// When the last answer came, a refusal of one query included.
    pub answered: Option<Duration>,
    pub last_error: Option<String>,
    /// The server's clock minus ours, as far as the time of the round trip does not explain it.
    pub skew: Option<f64>,
}

impl Health {
    /// Of a source that nobody has asked yet.
    pub fn new() -> Self {
        Self { breaker: Breaker::new(), checking: false, answered: None, last_error: None, skew: None }
    }

    /// As it is told.
    pub fn told(&self) -> SourceHealth {
        SourceHealth {
            breaker: self.breaker.state(),
            failures: self.breaker.failures(),
            last_error: self.last_error.clone(),
            skew_seconds: self.skew.filter(|skew| skew.abs() > SKEW_REPORTED),
        }
    }
}
