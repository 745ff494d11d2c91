//! The arbiter: how finite resources are distributed among services.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod budgets;
mod dependencies;
mod exact;
mod nodes;
mod order;
mod properties;
mod running;
mod world;
