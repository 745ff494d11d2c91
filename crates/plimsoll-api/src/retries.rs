//! `spec.traffic.retries`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a request is sent again, to another replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retries {
    /// How often; 0 for never.
    #[serde(default = "retry_attempts")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: i32,
    /// After what; a request that may have been begun is only sent again on what is named here. Without it,
    /// ConnectFailure, and with NGINX, which can't tell the two apart, EmptyResponse too.
    // Not `on` as it is called here: YAML 1.1, which kubectl reads, takes that for `true`.
    #[serde(default, rename = "retryOn", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    pub on: Option<Vec<RetryOn>>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: retry_attempts(), on: None }
    }
}

/// What a request is sent again after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RetryOn {
    /// No connection came about: the replica saw nothing of the request.
    ConnectFailure,
    /// The connection ended without an answer; only for GET, HEAD, OPTIONS, PUT and DELETE (methods that may be repeated, RFC
    /// 9110, 9.2.2), and with HAProxy only without a body.
    EmptyResponse,
    /// The answer was 503; only for the same methods.
    Http503,
}

fn retry_attempts() -> i32 {
    2
}
