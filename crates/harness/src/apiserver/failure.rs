//! Error responses in the API server's wording (`metav1.Status`).

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refused request.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// HTTP status.
    pub code: u16,
    /// `reason` of the Status.
    pub reason: &'static str,
    /// `message` of the Status.
    pub message: String,
    /// `details` of the Status.
    pub details: Value,
    /// Seconds in the header `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: Value::Null, retry_after: None }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({"name": name, "group": kind.group, "kind": kind.plural});
        self
    }

    /// The object does not exist.
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.resource())).about(kind, name)
    }

    /// The path does not exist. The real server responds with plain text instead of a Status.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found\n".to_owned())
    }

    /// The kind or its version is not served. Only built-in groups respond with a Status.
    pub(crate) fn not_served(group: &str, kinds: &[Kind]) -> Self {
        if kinds.iter().any(|kind| kind.is_built_in() && kind.group == group) {
            let message = "the server could not find the requested resource".to_owned();
            return Self { details: json!({}), ..Self::new(404, "NotFound", message) };
        }
        Self::no_such_path()
    }

    /// An object of that name exists.
    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    /// The object has changed since it was read, or was recreated.
    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// The UID of a deletion's precondition is another object's. The response names the kind instead of the resource.
    pub(crate) fn another_uid(kind: &Kind, name: &str, why: &str) -> Self {
        Self::conflict(&Kind { plural: kind.kind, ..kind.clone() }, name, why)
    }

    /// A `test` of a JSON patch failed.
    pub(crate) fn patch_test_failed() -> Self {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Self { details: json!({}), ..Self::new(422, "Invalid", message) }
    }

    /// The request is malformed.
    pub(crate) fn bad_request(message: String) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// A PodDisruptionBudget allows no eviction.
    pub(crate) fn disruption_budget(why: &str) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
        let details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
        Self { details, ..Self::new(429, "TooManyRequests", message) }
    }

    /// Sets the time after which the client may retry.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.details["retryAfterSeconds"] = json!(seconds);
        Self { retry_after: Some(seconds), ..self }
    }

    /// The events after a resource version were compacted.
    pub(crate) fn expired(from: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {from} ({oldest})"))
    }

    /// A response injected by a test.
    pub(crate) fn injected(code: u16, retry_after: Option<u32>) -> Self {
        let reason = match code {
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            _ => "InternalError",
        };
        let details = retry_after.map_or(Value::Null, |seconds| json!({"retryAfterSeconds": seconds}));
        Self { details, retry_after, ..Self::new(code, reason, format!("injected status {code}")) }
    }

    /// A call that no test has compared with the real server.
    pub(crate) fn not_implemented(what: &str) -> Self {
        let message = format!("the in-memory API server does not implement {what}");
        Self::new(501, "NotImplemented", message)
    }

    /// The body of a response or of an ERROR event; plain text if it is a string.
    pub(crate) fn status(&self) -> Value {
        if self.reason.is_empty() {
            return json!(self.message);
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
