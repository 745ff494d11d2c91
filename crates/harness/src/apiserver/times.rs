//! Times as the API server writes them.

use jiff::Timestamp;

/// As the API server keeps times of metadata: whole seconds.
pub(crate) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
