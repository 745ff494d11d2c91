//! The agent beside each balancer: watches one ScalableService and its endpoints, configures HAProxy or NGINX for them,
//! reads the running state back, and reports it.
//!
//! It works on its own: without the controller it goes on following the endpoints, without the API server it keeps the
//! last known state, and a restarted balancer or agent finds everything in the shared folder.

mod arrived;
mod authorities;
mod carried;
mod certificates;
mod endpoints;
mod gate;
mod install;
mod known;
mod metrics;
mod pace;
mod pilot;
mod probe;
mod report;
mod run;
mod saturation;
mod server;
mod setup;
mod specs;
mod stop;
mod watches;

pub use authorities::Mounted;
pub use carried::Carried;
pub use gate::{Gate, Replicas};
pub use install::{InstallError, install};
pub use known::{Known, Service};
pub use metrics::{AgentMetrics, table};
pub use pilot::Pilot;
pub use probe::{Answers, Prober};
pub use run::{AgentError, AgentOptions, run};
pub use saturation::measure_saturation;
pub use setup::{Links, Setup};
pub use stop::{StopError, stop};
