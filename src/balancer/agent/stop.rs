//! `lb-agent stop`: what a balancer does before it is ended, as its `preStop` hook. It serves on until nobody
//! connects any more, tells its clients to connect elsewhere with the next answer, and waits for the last one.
//!
//! A soft stop of its own (SIGUSR1, SIGQUIT) comes last, if at all: it closes idle connections under clients that may just be
//! sending, and ends the container while this hook runs, which the kubelet would report as a failure.

use std::{path::Path, time::Duration};

use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::balancer::{
    DriverError,
    haproxy::{self, HaProxy},
    nginx::{self, Connected, Nginx},
};
use plimsoll_api::Software;

/// How often is looked.
const POLL: Duration = Duration::from_millis(200);
/// Nobody has connected for so long: the Service sends its clients elsewhere by now.
const QUIET: Duration = Duration::from_secs(2);
/// Every node hears of it within this time, even if nobody connected anyway.
const HEARD: Duration = Duration::from_secs(4);
/// Clients that connect after this time don't come by the Service, or there is no other balancer.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// The hook failed.
#[derive(Debug, Error)]
pub enum StopError {
    /// It could not be told.
    #[error("the balancer does not let go of its clients: {0}")]
    Listening(DriverError),
}

/// What is about to end.
enum Ending {
    /// Tells its clients when it stops to listen.
    HaProxy(HaProxy),
    /// Tells its clients at once, and listens to its end.
    Nginx(Nginx, Connected),
}

impl Ending {
    fn of(software: Software, folder: &Path) -> Self {
        match software {
            Software::HAProxy => Self::HaProxy(HaProxy::new(haproxy::Paths::in_folder(folder))),
            Software::NGINX => Self::Nginx(Nginx::new(nginx::Paths::in_folder(folder)), Connected::default()),
        }
    }

    /// Clients that are connected, and all that ever were.
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

/// Returns when what balances in `folder` has no client any more, at the latest after `within`; at once if it does not
/// run.
///
/// # Errors
/// It does not obey.
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
