//! Times in the API server's format.

use jiff::Timestamp;

/// A time in whole seconds, as in the metadata of the API server.
pub(crate) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
