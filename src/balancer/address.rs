//! The address that a balancer and its agent listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// The wildcard address: that of IPv6, which accepts IPv4 too, or that of IPv4 on a machine without IPv6.
#[must_use]
pub fn any_address() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}
