//! Reads fields of API objects, as JSON.

use serde_json::Value;

/// Access to fields that may be missing, by JSON pointer (RFC 6901).
pub trait Object {
    /// Empty if the field is missing.
    fn text(&self, path: &str) -> &str;

    /// 0 if the field is missing.
    fn number(&self, path: &str) -> i64;

    /// Empty if the field is missing.
    fn list(&self, path: &str) -> &[Value];

    /// The condition of this type; null if it is missing.
    fn condition(&self, type_: &str) -> &Value {
        self.list("/status/conditions")
            .iter()
            .find(|found| found.text("/type") == type_)
            .unwrap_or(&Value::Null)
    }

    /// Status, reason and message of a condition, as in `True Steady …`; empty if it is missing.
    fn says(&self, type_: &str) -> String {
        let condition = self.condition(type_);
        let [status, reason, message] = ["/status", "/reason", "/message"].map(|field| condition.text(field));
        format!("{status} {reason} {message}").trim().to_owned()
    }

    fn is(&self, type_: &str) -> bool {
        self.condition(type_).text("/status") == "True"
    }

    fn wanted(&self) -> i64 {
        self.number("/spec/replicas")
    }

    /// The generation increases with each change of the spec.
    fn generation(&self) -> i64 {
        self.number("/metadata/generation")
    }

    fn is_going(&self) -> bool {
        !self.text("/metadata/deletionTimestamp").is_empty()
    }
}

impl Object for Value {
    fn text(&self, path: &str) -> &str {
        self.pointer(path).and_then(Self::as_str).unwrap_or_default()
    }

    fn number(&self, path: &str) -> i64 {
        self.pointer(path).and_then(Self::as_i64).unwrap_or(0)
    }

    fn list(&self, path: &str) -> &[Value] {
        self.pointer(path).and_then(Self::as_array).map_or(&[], Vec::as_slice)
    }
}
