//! Dependencies of a reader.

use std::sync::Arc;

use super::transport::Connect;
use crate::clock::Clock;

/// Dependencies of a reader.
pub struct ReaderParts<'a> {
    /// Opens the transport to each source.
    pub connect: &'a Connect<'a>,
    /// Observes every query.
    pub observer: Arc<dyn QueryObserver>,
    /// Wall clock for the times of samples.
    pub clock: Clock,
}

/// Observes every query, for metrics.
pub trait QueryObserver: Send + Sync {
    /// Called when a query to `source` ends. `result` is `success`, `partial` or [`super::Failure::label`]; `seconds` is its
    /// duration, including the wait for a slot. Shared and cached answers do not count as queries.
    fn on_query(&self, source: &str, result: &'static str, seconds: f64);
}

/// The observer of a reader without metrics.
pub(super) struct NoObserver;

impl QueryObserver for NoObserver {
    fn on_query(&self, _: &str, _: &'static str, _: f64) {}
}
