//! From an outcome to what a user sees: status, conditions, events. Pure.

mod changes;
mod conditions;
mod failover;
mod outliers;
mod status;
#[cfg(test)]
mod tests;
mod zones;

pub use changes::{HARD_PAUSE, SOFT_PAUSE, Worth, notes, worth};
pub use conditions::verdicts;
pub use status::{changed, decisions_of, own_status, status};
