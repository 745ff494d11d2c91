//! The subresource scale.

use serde_json::{Value, json};

use super::kinds::Kind;

/// The scale subresource of an object (`autoscaling/v1`).
pub(crate) fn scale_of(kind: &Kind, object: &Value) -> Value {
    let number = |pointer: &str| object.pointer(pointer).cloned().unwrap_or(json!(0));
    let metadata = &object["metadata"];
    let mut scale = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": {"replicas": number(kind.scale.status)},
    });
    // Zero is omitted.
    if number(kind.scale.spec) != 0 {
        scale["spec"]["replicas"] = number(kind.scale.spec);
    }
    let selector = match kind.scale.selector {
        Some(pointer) => object.pointer(pointer).cloned(),
        None => object.pointer("/spec/selector/matchLabels").and_then(Value::as_object).map(|labels| {
            let terms = labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")));
            json!(terms.collect::<Vec<_>>().join(","))
        }),
    };
    if let Some(selector) = selector {
        scale["status"]["selector"] = selector;
    }
    scale
}
