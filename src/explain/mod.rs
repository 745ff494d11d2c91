//! The reason for the number of replicas, and what would change it, from the steps of a decision.
//!
//! Pure text. Each step has a sentence of its own (`Display`); this module makes one answer of them.

mod because;
mod bound;
mod change;

pub use because::because;
pub use bound::{Bound, aged, binding, binding_step, same};
pub use change::what_would_change;
