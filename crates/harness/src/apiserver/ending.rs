//! Deletion of an object: immediate, or after its finalizers and its grace period.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    store::{Key, Store},
    times::seconds,
};

/// Deletes an object, or sets its deletionTimestamp if it has finalizers or, for a pod on a node, a grace period. Returns
/// the object if it still exists.
pub(crate) fn end(store: &mut Store, key: &Key, now: Timestamp) -> Option<Value> {
    let object = store.get(key)?;
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let kept = finalizers.is_some_and(|finalizers| !finalizers.is_empty());
    let is_pod = key.resource == "pods";
    if !kept && !is_pod {
        store.remove(key);
        return None;
    }
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(Value::clone(object));
    }
    let grace = if is_pod { grace_period(object) } else { 0 };
    let mut ending = Value::clone(object);
    let metadata = &mut ending["metadata"];
    metadata["deletionTimestamp"] = json!(seconds(now + SignedDuration::from_secs(grace)));
    metadata["deletionGracePeriodSeconds"] = json!(grace);
    if let Some(generation) = metadata["generation"].as_i64() {
        metadata["generation"] = json!(generation + 1);
    }
    let ending = Value::clone(&store.put(key.clone(), ending));
    if grace > 0 || kept {
        return Some(ending);
    }
    store.remove(key);
    None
}

/// Grace period of a pod in seconds; 0 if none of its containers can run.
fn grace_period(pod: &Value) -> i64 {
    let ended = matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"));
    if pod.pointer("/spec/nodeName").is_none() || ended {
        return 0;
    }
    pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30)
}
