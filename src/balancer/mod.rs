//! Load balancers that Plimsoll runs: what is wanted of one (pure), the drivers that bring it about, and the agent
//! that runs beside each balancer.
//!
//! Planning is pure (`wanted, seen -> steps`, what is added before what is removed); a driver applies steps one by
//! one, and reads back what came of them.

mod address;
pub mod agent;
mod certificate;
mod driver;
mod error;
mod files;
pub mod gateway;
pub mod haproxy;
mod look;
pub mod nginx;
mod pem;
mod resources;
#[cfg(test)]
mod sample;
mod text;
mod usage;
mod wanted;

pub use address::any_address;
pub use driver::Driver;
pub use error::DriverError;
pub use look::{CertificateChange, Epoch, Look, Outcome};
pub use pem::{NoPem, Pem};
pub use resources::{Capacity, Resources};
pub use text::ConfigError;
pub use usage::Usage;
pub use wanted::{Endpoint, Endpoints, LOW_PORTS_UP, Listen, Server, ServerState, Standby, Wanted, wanted};

/// Port of the pods for `/healthz` of what balances, and for HAProxy's own metrics.
pub const HEALTH_PORT: u16 = 9101;
/// Header of a request that a balancer of a service with standbys sends on: the server it was given to. A name with `_` at its
/// beginning is a standby, or the gate before one; a balancer that gets such a request serves it from its own replicas, or answers
/// 508 (Loop Detected, RFC 5842), so that two services that are each other's standby form no loop. RFC 8586's `CDN-Loop` is not
/// used: it must be passed on, also by replicas to services that have nothing to do with the failover.
const SERVER_HEADER: &str = "Plimsoll-Server";
/// Suites of TLS 1.2 with forward secrecy and authenticated encryption: those of Mozilla's intermediate configuration that need
/// no parameters of Diffie-Hellman.
const TLS12_CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                             ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/// Ports of a balancer's pods that no listener may have: of its health and metrics, of its agent, of the gate, of NGINX for
/// itself.
pub const OWN_PORTS: std::ops::RangeInclusive<u16> = 9101..=9104;
