//! Plimsoll: a Kubernetes operator for autoscaling by PromQL KPIs and for load balancing. ARCHITECTURE.md gives an overview.
#![deny(missing_docs)]

pub mod actuate;
pub mod api_error;
pub mod balancer;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod explain;
pub mod field_managers;
pub mod fingerprint;
pub mod input;
pub mod kpi;
pub mod lease;
pub mod names;
pub mod pauses;
pub mod random;
pub mod shutdown;
pub mod telemetry;
