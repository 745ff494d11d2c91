//! Load balancers that Plimsoll runs: the wanted state of a balancer (pure), the drivers that apply it, and the agent
//! that runs beside each balancer.
//!
//! Planning is pure (`wanted, seen -> steps`, additions before removals). A driver applies the steps one by one and reads
//! the result back.

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

/// Port of the pods for the balancer's `/healthz` and HAProxy's own metrics.
pub const HEALTH_PORT: u16 = 9101;
/// Header that a balancer of a service with standbys adds to a forwarded request: the name of the chosen server. A name that
/// begins with `_` is a standby, or the gate in front of one. A balancer that receives such a request serves it from its own
/// replicas or answers 508 (Loop Detected, RFC 5842), so that two services that are each other's standby form no loop.
/// RFC 8586's `CDN-Loop` is not used: it must be forwarded, even by replicas to services unrelated to the failover.
const SERVER_HEADER: &str = "Plimsoll-Server";
/// TLS 1.2 cipher suites with forward secrecy and authenticated encryption: those of Mozilla's intermediate configuration that
/// need no Diffie-Hellman parameters.
const TLS12_CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                             ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/// Ports of a balancer's pods that no listener may use: health and metrics, the agent, the gate, NGINX's internal server.
pub const OWN_PORTS: std::ops::RangeInclusive<u16> = 9101..=9104;
