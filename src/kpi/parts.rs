//! What a reader gets from outside.

use std::sync::Arc;

use super::transport::Connect;
use crate::clock::Clock;

/// What a reader works with.
pub struct ReaderParts<'a> {
    /// Opens the way to each source.
    pub connect: &'a Connect<'a>,
    /// Receives every query.
    pub observer: Arc<dyn QueryObserver>,
    /// The time of day, which samples are dated with.
    pub clock: Clock,
}

/// Is told of every query, for metrics.
pub trait QueryObserver: Send + Sync {
    /// A query to `source` ended. `result` is `success`, `partial` or [`super::Failure::label`]; `seconds` is what
    /// it took, the wait for a slot included. Answers that were shared or kept are no query.
    fn on_query(&self, source: &str, result: &'static str, seconds: f64);
}

/// An observer that nobody needs.
pub(super) struct Nobody;

impl QueryObserver for Nobody {
    fn on_query(&self, _: &str, _: &'static str, _: f64) {}
}
