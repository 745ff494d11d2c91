//! Load balancers that Plimsoll runs: what is wanted of one (pure), the drivers that bring it about, and the agent
//! that runs beside each balancer.
//!
//! Planning is pure (`wanted, seen -> steps`, what is added before what is removed); a driver applies steps one by
//! one, and reads back what came of them.

pub mod agent;
pub mod haproxy;
mod wanted;

pub use wanted::{Endpoint, Endpoints, LOW_PORTS_UP, Listen, Server, ServerState, Wanted, wanted};
