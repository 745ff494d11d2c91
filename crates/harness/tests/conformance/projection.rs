//! Projection of objects onto the fields set by the test; all other fields are defaults of the real server.

use serde_json::{Map, Value, json};

/// Adds the fields of `value` to `mask`. A leaf is `null`; a list has one element, the union of its items.
pub fn widen(mask: &mut Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if !mask.is_object() {
                *mask = json!({});
            }
            for (name, below) in fields {
                widen(&mut mask[name], below);
            }
        }
        Value::Array(items) => {
            if !mask.is_array() {
                *mask = json!([null]);
            }
            items.iter().for_each(|item| widen(&mut mask[0], item));
        }
        _ => {}
    }
}

/// The part of `value` that `mask` names. Lists are sorted, because the order of merged lists is not defined.
pub fn project(value: &Value, mask: &Value) -> Value {
    match (value, mask) {
        (Value::Object(fields), Value::Object(mask)) => {
            let known = fields
                .iter()
                .filter_map(|(name, value)| mask.get(name).map(|mask| (name.clone(), project(value, mask))));
            Value::Object(known.collect::<Map<_, _>>())
        }
        (Value::Array(items), Value::Array(mask)) => {
            let mut items: Vec<Value> = items.iter().map(|item| project(item, &mask[0])).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        (value, _) => value.clone(),
    }
}
