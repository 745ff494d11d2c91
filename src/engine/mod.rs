//! The pure core: `(spec, observation, memory, now) -> decision`.
//!
//! No client, no runtime, no clock, no randomness, no logging, no environment: time comes in as an argument.

mod decision;
mod observation;

pub use decision::Decision;
pub use observation::{Observation, Pod, Pods, Sample, Value};
