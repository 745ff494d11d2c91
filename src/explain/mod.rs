//! The words of a decision: each [`ReasonCode`](plimsoll_api::ReasonCode) with its numbers as a sentence.
//!
//! Pure text. Status, events, logs and the command line all speak through it, so that one thing has one name.

mod because;
mod change;
mod fact;
mod failover;
mod number;
mod outlier;
mod phrase;
mod sentence;
mod step;

pub use because::because;
pub use change::what_would_change;
pub use fact::fact;
pub use number::{number, seconds};
pub use sentence::sentence;
pub use step::{Step, aged, binding, code_of, step};
