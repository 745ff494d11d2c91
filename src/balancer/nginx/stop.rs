//! The clients of an NGINX, and how it lets go of them.

use std::{collections::BTreeSet, net::SocketAddr};

use tokio::fs;

use super::{Nginx, config::ports_of, process};
use crate::balancer::{DriverError, files};

/// Who is connected, and who ever was since this counts.
#[derive(Debug, Default)]
pub struct Connected {
    ever: BTreeSet<SocketAddr>,
}

impl Connected {
    /// Clients now, and all so far. Once [`Nginx::let_go`] has been called none is missed: NGINX closes each
    /// connection first, and the kernel remembers it for a minute.
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
    /// Tells each client with its next answer to close its connection. New ones are served all the same.
    ///
    /// # Errors
    /// The file that says so can't be written.
    pub async fn let_go(&self) -> Result<(), DriverError> {
        let file = self.paths.stopping();
        fs::write(&file, "").await.map_err(DriverError::file("write", &file))
    }
}
