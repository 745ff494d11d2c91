//! A change of a route.

use serde_json::Value;

/// A change of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// A JSON patch (RFC 6902) that fails unless the route is as it was seen.
    pub patch: Vec<Value>,
    /// What changes: `shop 100 -> 0, shop-b 0 -> 100`.
    pub what: String,
}
