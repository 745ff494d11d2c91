//! Load balancers that Plimsoll runs: what is wanted of one (pure), the drivers that bring it about, and the agent
//! that runs beside each balancer.
//!
//! Planning is pure (`wanted, seen -> steps`, what is added before what is removed); a driver applies steps one by
//! one, and reads back what came of them.

pub mod agent;
mod driver;
mod error;
mod files;
pub mod gateway;
pub mod haproxy;
pub mod nginx;
mod pem;
mod text;
mod usage;
mod wanted;

pub use driver::{CertificateChange, Driver, Epoch, Look, Outcome};
pub use error::DriverError;
pub use pem::{NoPem, Pem};
pub use text::ConfigError;
pub use usage::Usage;
pub use wanted::{Endpoint, Endpoints, LOW_PORTS_UP, Listen, Server, ServerState, Standby, Wanted, wanted};

/// Port of the pods for `/healthz` of what balances, and for HAProxy's own metrics.
pub const HEALTH_PORT: u16 = 9101;
/// Ports of a balancer's pods that no listener may have: of its health and metrics, of its agent, of the gate, of NGINX for
/// itself.
pub const OWN_PORTS: std::ops::RangeInclusive<u16> = 9101..=9104;
