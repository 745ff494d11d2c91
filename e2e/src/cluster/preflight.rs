//! Checks of the machine before anything on it is changed.

use super::{
    cgroup,
    network::{API_SERVER_ADDRESS, API_SERVER_PORT},
};
use crate::prelude::*;
use std::net::TcpListener;

/// Disk space that a cluster needs, in bytes: images, their unpacked layers, logs, etcd.
const CLUSTER_SPACE: u64 = 3 << 30;

/// Ports that the cluster's programs listen on, with the program.
const PORTS: [(&str, u16, &str); 9] = [
    ("127.0.0.1", 12379, "etcd"),
    ("127.0.0.1", 12380, "etcd's peers"),
    (API_SERVER_ADDRESS, API_SERVER_PORT, "kube-apiserver"),
    ("127.0.0.1", 10248, "kubelet's health"),
    ("127.0.0.1", 10249, "kube-proxy's metrics"),
    (API_SERVER_ADDRESS, 10250, "kubelet"),
    (API_SERVER_ADDRESS, 10256, "kube-proxy's health"),
    (API_SERVER_ADDRESS, 10257, "kube-controller-manager"),
    (API_SERVER_ADDRESS, 10259, "kube-scheduler"),
];

pub fn check() -> Result<()> {
    require_root()?;
    cgroup::trees()?;
    check_space(Path::new("/var/lib"), CLUSTER_SPACE, "run a cluster")
}

/// Checks that the ports are free; the bridge must exist, and no program of the cluster may run.
pub fn check_ports() -> Result<()> {
    for (address, port, owner) in PORTS {
        TcpListener::bind((address, port)).with_context(|| {
            format!("{address}:{port} is needed for {owner}, but is in use; see `ss -ltnp 'sport = :{port}'`")
        })?;
    }
    Ok(())
}

pub fn require_root() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "a cluster needs root: run it as root or with sudo");
    Ok(())
}

pub fn check_space(path: &Path, needed: u64, purpose: &str) -> Result<()> {
    let disk = rustix::fs::statvfs(path)
        .with_context(|| format!("cannot get the free disk space of {}", path.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (path, free_mib, needed_mib) = (path.display(), free >> 20, needed >> 20);
    ensure!(free >= needed, "{path} has {free_mib} MiB free; {needed_mib} MiB are needed to {purpose}");
    Ok(())
}
