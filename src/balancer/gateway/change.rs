//! A change of a route.

use serde_json::{Value, json};

use super::route::Route;

/// A change of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// A JSON patch (RFC 6902) that fails unless the route is as it was seen.
    pub patch: Vec<Value>,
    /// What changes: `shop 100 -> 0, shop-b 0 -> 100`.
    pub what: String,
}

/// The tests that the route is as it was seen.
pub(super) fn unchanged(route: &Route) -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/metadata/uid", "value": route.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": route.resource_version}),
    ]
}

/// Sets the weight of a backendRef, by its place and that of its rule.
pub(super) fn set_weight(rule: usize, place: usize, weight: i32) -> Value {
    // `add` replaces what is there.
    json!({"op": "add", "path": format!("/spec/rules/{rule}/backendRefs/{place}/weight"), "value": weight})
}
