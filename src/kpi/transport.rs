//! The interface between a source and the network: sends one query and returns its answer.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::answer::Answer;
use super::failure::Failure;
use super::source::SourceConfig;

/// One query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'a> {
    /// At the server's current time.
    Instant(&'a str),
    /// Over a range of time.
    Range {
        /// The PromQL text.
        query: &'a str,
        /// The first time, in seconds since the epoch.
        start: i64,
        /// The last time, in seconds since the epoch.
        end: i64,
        /// Time between two points, in seconds.
        step: f64,
    },
}

/// A way to send queries to one source. Deadlines, the limit on concurrent queries and the circuit breaker are the
/// caller's.
pub trait Transport: Send + Sync {
    /// Sends one query and reads its answer. `limit` is the timeout for the server. It is less than the time left until the
    /// query's deadline, so that the server does not work on abandoned queries. The caller drops the future at the deadline.
    fn ask<'a>(&'a self, request: Request<'a>, limit: Duration) -> BoxFuture<'a, Result<Answer, Failure>>;
}

/// Opens the transport to a source, like [`super::connect`]; the error has a sentence for each invalid setting.
pub type Connect<'a> = dyn Fn(&SourceConfig) -> Result<Arc<dyn Transport>, Vec<String>> + 'a;
