//! Changes of an HTTPRoute.

use serde_json::{Value, json};

use super::route::Route;

/// A change of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// A JSON patch (RFC 6902) that fails if the route has changed since it was read.
    pub patch: Vec<Value>,
    /// Summary: `shop 100 -> 0, shop-b 0 -> 100`.
    pub what: String,
}

/// Test operations that fail if the route has changed since it was read.
pub(super) fn unchanged(route: &Route) -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/metadata/uid", "value": route.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": route.resource_version}),
    ]
}

/// Sets the weight of a backendRef, by its index and the index of its rule.
pub(super) fn set_weight(rule: usize, place: usize, weight: i32) -> Value {
    // `add` replaces an existing value.
    json!({"op": "add", "path": format!("/spec/rules/{rule}/backendRefs/{place}/weight"), "value": weight})
}
