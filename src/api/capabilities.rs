//! What each provider can do of `spec.traffic`. What it can't is refused: by the CRD's CEL rules, and in the same
//! places by [`Validated`](super::Validated).

use super::Provider;

/// What a provider can do beyond balancing, draining, retrying and ending TLS, which each can.
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
    /// Tells a connection that did not come about from one that ended without an answer.
    pub tells_connect_failure: bool,
}

impl Provider {
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
                tells_connect_failure: true,
            },
            // `sticky` is free software since 1.29.6; health_check, slow_start and queue are of the commercial edition.
            Self::NGINX => Capabilities {
                runtime_changes: false,
                active_checks: false,
                cookies: false,
                slow_start: false,
                queue: false,
                tells_connect_failure: false,
            },
        }
    }
}
