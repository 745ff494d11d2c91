//! Numbers and their spread.

use std::time::Duration;

use serde_json::{Value, json};

/// Minimum, median and maximum.
pub fn spread<T: Copy + PartialOrd + serde::Serialize>(of: &[T]) -> Value {
    let mut sorted = of.to_vec();
    sorted.sort_by(|one, other| one.partial_cmp(other).unwrap());
    json!({"min": sorted.first(), "median": sorted.get(sorted.len() / 2), "max": sorted.last()})
}

/// Percentiles by nearest rank, in milliseconds.
pub fn percentiles(of: &[Duration]) -> Value {
    let mut sorted = of.to_vec();
    sorted.sort();
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().map(milliseconds)
    };
    json!({"n": sorted.len(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0)})
}

/// Rounds to a hundredth.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
