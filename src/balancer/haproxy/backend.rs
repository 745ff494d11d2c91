//! Common parts of the backends of the service and of its standbys: names, health checks and retries.

use std::fmt::Write as _;

use super::quote::quoted;
use crate::balancer::{ConfigError, Wanted};
use plimsoll_api::{RetryOn, Traffic};

/// Name of the gate server, which no pod can have.
pub const GATE: &str = "_gate";
/// Cookie value of the gate, and of standbys that serve in place of replicas. It binds a client to nothing.
pub(super) const GATE_COOKIE: &str = "gate";

/// Name of the backend: the service's name, by which its metrics are found.
#[must_use]
pub fn backend(wanted: &Wanted) -> &str {
    &wanted.service.1
}

/// Key from which the servers' cookies are derived: the same on every balancer of the service.
#[must_use]
pub fn cookie_key(wanted: &Wanted) -> String {
    format!("{}:{}", wanted.service.0, wanted.service.1)
}

/// Number of retries of a request.
pub(super) fn attempts(traffic: &Traffic) -> i32 {
    if traffic.retry_on().is_empty() { 0 } else { traffic.retries.attempts }
}

/// The HTTP health check of a backend's servers; empty without a path.
pub(super) fn checks(wanted: &Wanted) -> Result<String, ConfigError> {
    let check = wanted.traffic.health_check.as_ref();
    let Some(path) = check.and_then(|check| check.path.as_ref()) else { return Ok(String::new()) };
    let path = quoted("traffic.healthCheck.path", path)?;
    let (namespace, service) = &wanted.service;
    Ok(format!(
        "    option httpchk
    http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {service}.{namespace} hdr User-Agent plimsoll
    http-check expect status 200-399
"
    ))
}

/// When, and how often, a backend retries a request.
pub(super) fn retries(traffic: &Traffic) -> String {
    let on = |wanted: RetryOn| traffic.retry_on().contains(&wanted);
    let mut events = Vec::new();
    for (event, word) in [
        (RetryOn::ConnectFailure, "conn-failure"),
        (RetryOn::EmptyResponse, "empty-response"),
        (RetryOn::Http503, "503"),
    ] {
        if on(event) {
            events.push(word);
        }
    }
    let attempts = attempts(traffic);
    let mut text = format!(
        "    retries {attempts}
    option redispatch 1
"
    );
    if attempts > 0 {
        let _ = writeln!(text, "    retry-on {}", events.join(" "));
    }
    if attempts > 0 && (on(RetryOn::EmptyResponse) || on(RetryOn::Http503)) {
        text += "    # What a replica may have started is retried only if idempotent and without a body.
    acl may_be_repeated method GET HEAD OPTIONS PUT DELETE
    acl has_body req.hdr_val(content-length) gt 0
    acl has_body req.hdr(transfer-encoding) -m found
    http-request disable-l7-retry if !may_be_repeated or has_body
";
    }
    text
}
