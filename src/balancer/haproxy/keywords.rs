//! Keywords of a server besides its address: the same in the file and in `add server`, which ignores the file's
//! `default-server`.
//!
//! Unacknowledged requests to a dead node wait for `timeouts.backendRequest`: HAProxy refuses `tcp-ut` for servers that are added
//! at run time.

use std::{fmt, time::Duration};

use plimsoll_api::Traffic;

/// Idle connections to a replica are closed after about a second. If a replica closes one just as it is used, the
/// request on it fails; and on HAProxy 2.6 idle connections prevent the deletion of a server.
const POOL_PURGE_DELAY: &str = "1s";

/// Failed connections speed up detection: after three in a row, the next failed health check takes the replica down. On
/// a dead node each check takes its full timeout, so requests notice first.
const CONNECT_FAILURES: &str = "observe layer4 error-limit 3 on-error sudden-death";

/// Keywords of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keywords {
    check: Option<Check>,
    slow_start: Duration,
    maxconn: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    interval: Duration,
    rise: i32,
    fall: i32,
    consecutive_errors: Option<i32>,
}

impl Keywords {
    /// Keywords of every replica of a service, without its share of the limit of connections.
    #[must_use]
    pub fn of(traffic: &Traffic) -> Self {
        let check = traffic.health_check.as_ref().map(|check| Check {
            interval: check.interval.into(),
            rise: check.rise,
            fall: check.fall,
            consecutive_errors: check.passive.map(|passive| passive.consecutive_errors),
        });
        Self { check, slow_start: traffic.slow_start.into(), maxconn: None }
    }

    /// Keywords of a standby. It may itself be a balancer, so errors of single requests must not take it out of
    /// rotation, and it needs no slow start.
    #[must_use]
    pub fn of_standby(traffic: &Traffic) -> Self {
        let Self { check, .. } = Self::of(traffic);
        let check = check.map(|check| Check { consecutive_errors: None, ..check });
        Self { check, slow_start: Duration::ZERO, maxconn: None }
    }

    /// With a limit of concurrent requests; `None` for no limit.
    #[must_use]
    pub fn with_maxconn(self, maxconn: Option<u32>) -> Self {
        Self { maxconn, ..self }
    }

    /// Whether there are health checks.
    #[must_use]
    pub fn checks(&self) -> bool {
        self.check.is_some()
    }
}

impl fmt::Display for Keywords {
    /// Each keyword with a space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Check { interval, rise, fall, consecutive_errors }) = &self.check {
            write!(f, " check inter {}ms rise {rise} fall {fall}", interval.as_millis())?;
            match consecutive_errors {
                Some(errors) => write!(f, " observe layer7 error-limit {errors} on-error mark-down")?,
                None => write!(f, " {CONNECT_FAILURES}")?,
            }
        }
        if !self.slow_start.is_zero() {
            write!(f, " slowstart {}ms", self.slow_start.as_millis())?;
        }
        write!(f, " pool-purge-delay {POOL_PURGE_DELAY}")?;
        match self.maxconn {
            Some(maxconn) => write!(f, " maxconn {maxconn}"),
            None => Ok(()),
        }
    }
}
