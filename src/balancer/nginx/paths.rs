//! Where an NGINX's files and ports are.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::balancer::{ConfigError, HEALTH_PORT, text::path};

/// Port on the loopback where NGINX tells its agent and its supervisor what it serves.
pub const OWN_PORT: u16 = 9104;

/// Where an NGINX's files and ports are. It is to be started by `nginx -e stderr -c CONFIG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The program, for checking a configuration and signalling the master.
    pub program: PathBuf,
    /// The folder of all files.
    pub folder: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// Where the master writes its process id.
    pub pid: PathBuf,
    /// Socket of the supervisor in NGINX's container.
    pub supervisor: PathBuf,
    /// Address that the ports for others are bound to; an unspecified IPv6 address takes IPv4 too.
    pub listen: IpAddr,
    /// Port of `/healthz`, which the supervisor answers.
    pub health: u16,
    /// Where it tells its agent and its supervisor what it serves.
    pub own: SocketAddr,
}

impl Paths {
    /// The usual names in a folder of its own.
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

    /// The folder as a word of the configuration.
    pub(super) fn folder_text(&self) -> Result<String, ConfigError> {
        let folder = self.folder.display().to_string();
        path("the folder", &folder).map(ToOwned::to_owned)
    }

    /// While it is there, workers of `structure` tell each client with its answer to close the connection.
    #[must_use]
    pub fn leaving(&self, structure: &str) -> PathBuf {
        self.folder.join(format!("leaving-{structure}"))
    }

    /// The same for all workers: this balancer ends.
    #[must_use]
    pub fn stopping(&self) -> PathBuf {
        self.folder.join("stopping")
    }
}
