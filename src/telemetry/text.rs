//! Encodes a registry as OpenMetrics text.

use prometheus_client::{encoding::text::encode, registry::Registry};

/// Everything in `registry` as OpenMetrics text.
#[must_use]
pub fn open_metrics(registry: &Registry) -> String {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        // Writing to a String can't fail. If it did, Prometheus would refuse the empty text, as intended.
        text.clear();
    }
    text
}
