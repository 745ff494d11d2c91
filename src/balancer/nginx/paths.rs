//! Files and ports of an NGINX.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::balancer::{ConfigError, HEALTH_PORT, text::path};

/// Loopback port on which NGINX reports its state to the agent and the supervisor.
pub const OWN_PORT: u16 = 9104;

/// Files and ports of an NGINX, which is started by `nginx -e stderr -c CONFIG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The program, to check a configuration and to signal the master.
    pub program: PathBuf,
    /// The folder of all files.
    pub folder: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// PID file of the master.
    pub pid: PathBuf,
    /// Socket of the supervisor in NGINX's container.
    pub supervisor: PathBuf,
    /// Address of the ports for clients and `/healthz`; the unspecified IPv6 address includes IPv4.
    pub listen: IpAddr,
    /// Port of `/healthz`, which the supervisor answers.
    pub health: u16,
    /// Address on which it reports its state to the agent and the supervisor.
    pub own: SocketAddr,
}

impl Paths {
    /// The default names in a folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            program: PathBuf::from("nginx"),
            folder: folder.to_owned(),
            config: folder.join("nginx.conf"),
            pid: folder.join("nginx.pid"),
            supervisor: folder.join("supervisor.sock"),
            listen: Ipv4Addr::UNSPECIFIED.into(),
            health: HEALTH_PORT,
            own: (Ipv4Addr::LOCALHOST, OWN_PORT).into(),
        }
    }

    /// The folder, as a value in the configuration.
    pub(super) fn folder_text(&self) -> Result<String, ConfigError> {
        let folder = self.folder.display().to_string();
        path("the folder", &folder).map(ToOwned::to_owned)
    }

    /// While this file exists, workers of `structure` close each client's connection after the response.
    #[must_use]
    pub fn leaving(&self, structure: &str) -> PathBuf {
        self.folder.join(format!("leaving-{structure}"))
    }

    /// While this file exists, all workers do so: the balancer is shutting down.
    #[must_use]
    pub fn stopping(&self) -> PathBuf {
        self.folder.join("stopping")
    }
}
