//! The arbiter: who gets what of a finite resource.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod budgets;
mod dependencies;
mod exact;
mod nodes;
mod order;
mod properties;
mod running;
mod world;
