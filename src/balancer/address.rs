//! The address that a balancer and its agent listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// All addresses of the pod: an IPv6 socket takes IPv4 too, and where there is no IPv6, IPv4 is all there is.
#[must_use]
pub fn any_address() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}
