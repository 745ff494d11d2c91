//! `lb-agent stop`: drains the balancer, as its `preStop` hook. The balancer goes on serving until no new clients
//! connect, then tells each client with the next response to close its connection, and waits for the last one.
//!
//! The balancer's own soft stop (SIGUSR1, SIGQUIT) comes last, if at all: it closes idle connections on which clients
//! may just be sending, and ends the container while this hook runs, which the kubelet would report as a failure.

use std::{path::Path, time::Duration};

use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::balancer::{
    DriverError,
    haproxy::{self, HaProxy},
    nginx::{self, Connected, Nginx},
};
use plimsoll_api::Software;

/// Interval of reading the number of clients.
const POLL: Duration = Duration::from_millis(200);
/// Time without new connections after which the Service is assumed to send its clients elsewhere.
const QUIET: Duration = Duration::from_secs(2);
/// Time within which every node learns that the pod is terminating; the shortest wait, even without new connections.
const HEARD: Duration = Duration::from_secs(4);
/// Longest wait: clients that still connect do not use the Service, or there is no other balancer.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// The hook failed.
#[derive(Debug, Error)]
pub enum StopError {
    /// The balancer could not be stopped.
    #[error("the balancer does not release its clients: {0}")]
    Listening(DriverError),
}

/// The balancer that is to be stopped.
enum Ending {
    /// Tells its clients when it stops listening.
    HaProxy(HaProxy),
    /// Tells its clients immediately, and listens until it ends.
    Nginx(Nginx, Connected),
}

impl Ending {
    fn of(software: Software, folder: &Path) -> Self {
        match software {
            Software::HAProxy => Self::HaProxy(HaProxy::new(haproxy::Paths::in_folder(folder))),
            Software::NGINX => Self::Nginx(Nginx::new(nginx::Paths::in_folder(folder)), Connected::default()),
        }
    }

    /// Connected clients, and all connections so far.
    async fn clients(&mut self) -> Result<(u64, u64), DriverError> {
        match self {
            Self::HaProxy(driver) => driver.clients().await.map(|clients| (clients.now, clients.ever)),
            Self::Nginx(driver, connected) => connected.look(driver).await,
        }
    }

    async fn begin(&self) -> Result<(), DriverError> {
        match self {
            Self::HaProxy(_) => Ok(()),
            Self::Nginx(driver, _) => driver.let_go().await,
        }
    }

    async fn end(&self) -> Result<(), DriverError> {
        match self {
            Self::HaProxy(driver) => driver.close_listeners().await,
            Self::Nginx(..) => Ok(()),
        }
    }
}

/// Returns when the balancer in `folder` has no client any more, at the latest after `within`; immediately if it does
/// not run.
///
/// # Errors
/// The balancer refuses a command.
pub async fn stop(software: Software, folder: &Path, within: Duration) -> Result<(), StopError> {
    let mut ending = Ending::of(software, folder);
    let begin = Instant::now();
    let quiet_max = QUIET_MAX.min(within / 2);
    let mut last = (None, Instant::now());
    if ending.clients().await.is_err() {
        return Ok(());
    }
    ending.begin().await.map_err(StopError::Listening)?;
    while begin.elapsed() < quiet_max {
        let Ok((_, ever)) = ending.clients().await else { return Ok(()) };
        if last.0 != Some(ever) {
            last = (Some(ever), Instant::now());
        }
        if last.1.elapsed() >= QUIET && begin.elapsed() >= HEARD {
            break;
        }
        sleep(POLL).await;
    }
    ending.end().await.map_err(StopError::Listening)?;
    while begin.elapsed() < within {
        match ending.clients().await {
            Ok((now, _)) if now > 0 => sleep(POLL).await,
            Ok(_) | Err(_) => break,
        }
    }
    Ok(())
}
