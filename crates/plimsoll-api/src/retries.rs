//! `spec.traffic.retries`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Retries of requests on another replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retries {
    /// Maximum number of retries; 0 for none.
    #[serde(default = "retry_attempts")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: i32,
    /// Failures after which a request is retried. A request that a replica may have started to process is retried only after
    /// failures in this list. The default is ConnectFailure; with NGINX, which can't distinguish the two, also EmptyResponse.
    // Not named `on` in YAML: kubectl reads YAML 1.1, where that is `true`.
    #[serde(default, rename = "retryOn", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    pub on: Option<Vec<RetryOn>>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: retry_attempts(), on: None }
    }
}

/// A failure after which a request is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RetryOn {
    /// The connection failed, so the replica got nothing of the request.
    ConnectFailure,
    /// The connection ended without a response; only for GET, HEAD, OPTIONS, PUT and DELETE (idempotent methods, RFC 9110,
    /// 9.2.2), and with HAProxy only without a body.
    EmptyResponse,
    /// The response was 503; only for the same methods.
    Http503,
}

fn retry_attempts() -> i32 {
    2
}
