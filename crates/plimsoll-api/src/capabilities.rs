//! What each provider can do of `spec.traffic`. What it can't is refused: by the CRD's CEL rules, and in the same
//! places by [`Validated`](super::Validated).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who balances.
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
    /// HAProxy 2.6 or newer, run by Plimsoll, driven through its runtime API without reloads.
    HAProxy,
    /// NGINX 1.22 or newer, run by Plimsoll and reloaded for each change, at most every 2 s. It has no checks of its
    /// own, no queue, no slow start and no cookies; long connections end `drain.timeout` after a change. A share of a
    /// standby is a change too: it is served within 3 s.
    NGINX,
    /// A Gateway that somebody else runs: Plimsoll sets the weights of one rule of an HTTPRoute, and where fields of
    /// `traffic` ask for it, a BackendTrafficPolicy of its own for that rule (Envoy Gateway).
    Gateway,
}

/// A provider that Plimsoll runs itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString)]
pub enum Software {
    /// HAProxy.
    HAProxy,
    /// NGINX.
    NGINX,
}

impl Provider {
    /// What Plimsoll runs for it; `None` if it only tells others what to do.
    #[must_use]
    pub const fn software(self) -> Option<Software> {
        match self {
            Self::HAProxy => Some(Software::HAProxy),
            Self::NGINX => Some(Software::NGINX),
            Self::Gateway => None,
        }
    }
}

/// What software can do beyond balancing, draining, retrying and ending TLS, which each can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Endpoints, shares of standbys and certificates change in the running process; without it, by new processes that take over.
    pub runtime_changes: bool,
    /// Checks of its own, beside watching real requests.
    pub active_checks: bool,
    /// Binds a client to its replica by a cookie.
    pub cookies: bool,
    /// Gives a new replica its share little by little.
    pub slow_start: bool,
    /// Lets requests wait: above a limit of connections, by priority, and for the first replica at zero.
    pub queue: bool,
    /// Each standby over TLS may have authorities of its own.
    pub authorities_each: bool,
    /// Tells a connection that did not come about from one that ended without an answer.
    pub tells_connect_failure: bool,
}

impl Software {
    /// What it can do, in its oldest version that is allowed.
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
                tells_connect_failure: true,
            },
            // `sticky` is free software since 1.29.6; health_check, slow_start and queue are of the commercial edition.
            Self::NGINX => Capabilities {
                runtime_changes: false,
                active_checks: false,
                cookies: false,
                slow_start: false,
                queue: false,
                authorities_each: false,
                tells_connect_failure: false,
            },
        }
    }
}
