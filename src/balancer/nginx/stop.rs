//! The clients of an NGINX, and how their connections are closed before a stop.

use std::{collections::BTreeSet, net::SocketAddr};

use tokio::fs;

use super::{Nginx, config::ports_of, process};
use crate::balancer::{DriverError, files};

/// Counts the clients that are connected, and all since the count began.
#[derive(Debug, Default)]
pub struct Connected {
    ever: BTreeSet<SocketAddr>,
}

impl Connected {
    /// The number of connected clients, and of all that were seen since the first call. After [`Nginx::let_go`], calls less than
    /// a minute apart miss none: NGINX closes each connection first, so the kernel keeps it in TIME_WAIT for a minute.
    ///
    /// # Errors
    /// NGINX does not run.
    pub async fn look(&mut self, nginx: &Nginx) -> Result<(u64, u64), DriverError> {
        nginx.epoch().await?;
        let file = files::read(&nginx.paths.config).await?.unwrap_or_default();
        let clients = process::clients(&ports_of(&file));
        self.ever.extend(clients.recent);
        Ok((clients.open.len() as u64, self.ever.len() as u64))
    }
}

impl Nginx {
    /// Closes each client's connection after its next response. New connections are still served.
    ///
    /// # Errors
    /// The marker file can't be written.
    pub async fn let_go(&self) -> Result<(), DriverError> {
        let file = self.paths.stopping();
        fs::write(&file, "").await.map_err(DriverError::file("write", &file))
    }
}
