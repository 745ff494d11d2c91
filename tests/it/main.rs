//! Tests that need neither root nor a cluster: the engine from a user's YAML, properties, and rules for the sources.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

mod any_input;
mod architecture;
mod autoscaling_v2;
mod cases;
mod clock_set_back;
mod decide_command;
mod drain;
mod engine;
mod extremes;
mod failover;
mod fixtures;
mod generated;
mod malformed;
mod objective;
mod outliers;
mod plan;
mod plugin_proxy;
mod properties;
mod refused;
mod standby;
mod zones;
