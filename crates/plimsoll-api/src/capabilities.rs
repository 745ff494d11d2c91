//! Capabilities of each provider for `spec.traffic`. Unsupported fields are refused by the CRD's CEL rules, and equally by
//! [`Validated`](super::Validated).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of load balancer.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::EnumString,
)]
pub enum Provider {
    /// HAProxy 2.6 or newer, run by Plimsoll and configured through its runtime API, without reloads.
    HAProxy,
    /// NGINX 1.22 or newer, run by Plimsoll and reloaded for each change, at most every 2 s. It has no active health checks, no
    /// queue, no slow start and no cookies; old connections end `drain.timeout` after a change. A changed share of a standby
    /// needs a reload too: it applies within 3 s.
    NGINX,
    /// A Gateway that Plimsoll does not run: Plimsoll sets the weights of one rule of an HTTPRoute, and creates a
    /// BackendTrafficPolicy for that rule (Envoy Gateway) if fields of `traffic` need it.
    Gateway,
}

/// The load balancer software that Plimsoll runs for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString)]
pub enum Software {
    /// HAProxy.
    HAProxy,
    /// NGINX.
    NGINX,
}

impl Provider {
    /// The software that Plimsoll runs; `None` for a Gateway.
    #[must_use]
    pub const fn software(self) -> Option<Software> {
        match self {
            Self::HAProxy => Some(Software::HAProxy),
            Self::NGINX => Some(Software::NGINX),
            Self::Gateway => None,
        }
    }
}

/// Capabilities beyond balancing, draining, retries and TLS termination, which all software has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Endpoints, shares of standbys and certificates change in the running process; otherwise new processes replace the old.
    pub runtime_changes: bool,
    /// Active health checks, in addition to passive ones.
    pub active_checks: bool,
    /// Binds a client to its replica by a cookie.
    pub cookies: bool,
    /// Raises the share of a new replica gradually.
    pub slow_start: bool,
    /// Lets requests wait: at the limit of connections, by priority, and for the first replica when scaling from zero.
    pub queue: bool,
    /// Each standby over TLS may have its own CA bundle.
    pub authorities_each: bool,
    /// Distinguishes a failed connection from one that ended without a response.
    pub distinguishes_connect_failure: bool,
}

impl Software {
    /// Capabilities of the oldest supported version.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        match self {
            Self::HAProxy => Capabilities {
                runtime_changes: true,
                active_checks: true,
                cookies: true,
                slow_start: true,
                queue: true,
                authorities_each: true,
                distinguishes_connect_failure: true,
            },
            // `sticky` is free software since 1.29.6; health_check, slow_start and queue need the commercial edition.
            Self::NGINX => Capabilities {
                runtime_changes: false,
                active_checks: false,
                cookies: false,
                slow_start: false,
                queue: false,
                authorities_each: false,
                distinguishes_connect_failure: false,
            },
        }
    }
}
