//! `lb-agent stop`: what a balancer does before it is ended, as its `preStop` hook. HAProxy serves on until nobody
//! connects any more, then tells its clients to connect elsewhere with the next answer, and waits for the last one.
//!
//! HAProxy's own soft stop (SIGUSR1) comes last, if at all: it closes idle connections under clients that may just be
//! sending, and ends the container while this hook runs, which the kubelet would report as a failure.

use std::{path::Path, time::Duration};

use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::balancer::haproxy::{DriverError, HaProxy, Paths};

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
    /// HAProxy could not be told.
    #[error("HAProxy does not stop listening: {0}")]
    Listening(DriverError),
}

/// Returns when HAProxy in `folder` has no client any more, at the latest after `within`; at once if it does not run.
///
/// # Errors
/// HAProxy does not obey.
pub async fn stop(folder: &Path, within: Duration) -> Result<(), StopError> {
    let driver = HaProxy::new(Paths::in_folder(folder));
    let begin = Instant::now();
    let quiet_max = QUIET_MAX.min(within / 2);
    let mut last = (None, Instant::now());
    while begin.elapsed() < quiet_max {
        let Ok(clients) = driver.clients().await else { return Ok(()) };
        if last.0 != Some(clients.ever) {
            last = (Some(clients.ever), Instant::now());
        }
        if last.1.elapsed() >= QUIET && begin.elapsed() >= HEARD {
            break;
        }
        sleep(POLL).await;
    }
    driver.close_listeners().await.map_err(StopError::Listening)?;
    while begin.elapsed() < within {
        match driver.clients().await {
            Ok(clients) if clients.now > 0 => sleep(POLL).await,
            Ok(_) | Err(_) => break,
        }
    }
    Ok(())
}
