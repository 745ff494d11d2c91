//! Debian packages that the cluster needs; only missing ones are installed.

use super::progress::note;
use crate::{
    prelude::*,
    process::{find_program, finish},
};
use fs_err::os::unix::fs::OpenOptionsExt;

/// A package, and a file or program by which it is detected. HAProxy, NGINX, patchelf and Prometheus are for tests
/// outside of the cluster; the Prometheus of the cluster is built, since Debian's cannot discover pods.
const PACKAGES: &[(&str, &str)] = &[
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("gcc", "cc"),
    ("haproxy", "haproxy"),
    ("iproute2", "ip"),
    ("iptables", "iptables"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("nginx-light", "nginx"),
    ("openssl", "openssl"),
    ("patchelf", "patchelf"),
    ("prometheus", "prometheus"),
    ("runc", "runc"),
    ("socat", "socat"),
    ("util-linux", "nsenter"),
];

/// Debian's hook: while it exits with 101, installing a package starts no service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub fn ensure() -> Result<()> {
    let missing =
        missing(|probe| probe.starts_with('/') && Path::new(probe).exists() || find_program(probe).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    let apt_get = find_program("apt-get");
    ensure!(apt_get.is_some(), "apt-get is missing: install equivalents of these Debian packages: {names}");
    note(&format!("installing Debian packages: {names}"));
    let _no_service_starts = ServicesStayOff::new()?;
    apt(&["update"]).context("apt-get update failed; is the network or a mirror reachable?")?;
    let install = [&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat();
    apt(&install)?;
    Ok(())
}

fn missing(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    PACKAGES.iter().filter(|(_, probe)| !is_there(probe)).map(|(package, _)| *package).collect()
}

fn apt(args: &[&str]) -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    finish(command, "")
}

/// Prevents services from starting while this value exists; an existing policy is not changed.
struct ServicesStayOff {
    ours: bool,
}

impl ServicesStayOff {
    fn new() -> Result<Self> {
        let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o755).open(POLICY);
        match file {
            Ok(mut file) => {
                std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n")?;
                Ok(Self { ours: true })
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("cannot write {POLICY}")),
        }
    }
}

impl Drop for ServicesStayOff {
    fn drop(&mut self) {
        if self.ours {
            let _left_over = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        assert_eq!(
            missing(|probe| !matches!(probe, "cc" | "/usr/lib/cni/bridge")),
            ["containernetworking-plugins", "gcc"]
        );
        assert!(missing(|_| true).is_empty());
    }
}
