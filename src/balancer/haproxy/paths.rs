//! Files, sockets and ports of a HAProxy.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use crate::balancer::HEALTH_PORT;

/// Files, sockets and ports of a HAProxy. It must be started by
/// `haproxy -W -db -f CONFIG -S MASTER -x LISTENING`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The program, for checking a configuration.
    pub program: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// The map with the standbys' shares.
    pub shares: PathBuf,
    /// Socket of the runtime API.
    pub admin: PathBuf,
    /// Socket of the master process.
    pub master: PathBuf,
    /// Socket from which a starting HAProxy gets the listening sockets of the previous one.
    pub listening: PathBuf,
    /// Address that all ports are bound to; an unspecified IPv6 address includes IPv4.
    pub listen: IpAddr,
    /// Port of metrics and of `/healthz`.
    pub metrics: u16,
}

impl Paths {
    /// The default names in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            program: PathBuf::from("haproxy"),
            config: folder.join("haproxy.cfg"),
            shares: folder.join("shares.map"),
            admin: folder.join("admin.sock"),
            master: folder.join("master.sock"),
            listening: folder.join("listening.sock"),
            listen: Ipv4Addr::UNSPECIFIED.into(),
            metrics: HEALTH_PORT,
        }
    }
}
