//! Why there are so many replicas, and what would change it: the steps of a decision read as a whole.
//!
//! Pure text. Each step is a sentence by its own `Display`; here they become one answer.

mod because;
mod bound;
mod change;

pub use because::because;
pub use bound::{Bound, aged, binding, binding_step, same};
pub use change::what_would_change;
