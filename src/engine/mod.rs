//! The pure core: `(spec, observation, memory, now) -> decision`.
//!
//! No client, no runtime, no clock, no randomness, no logging, no environment: time comes in as an argument.
//! `tests/it/architecture.rs` enforces it.

mod decide;
mod decision;
mod drain;
mod evidence;
mod failover;
mod load;
mod memory;
mod objective;
mod observation;
mod outliers;
mod proposal;
mod rate;
mod recall;
mod stabilize;
mod standby;
mod step;
mod traffic;
mod utilization;
mod zones;

pub use decide::{History, decide, past_proposals};
pub use decision::Decision;
pub use drain::{Drain, Member, Rotation, drain};
pub use failover::{Capacity, Order, Shift, StandbySeen, Standing, fail_over};
pub use memory::{Change, Memory, Past};
pub(crate) use observation::SAME_SAMPLE;
pub use observation::{Observation, Pod, Pods, Sample, Value, Volume};
pub use outliers::{Peers, Recovery, judge};
pub use recall::RECALLED;
pub use standby::Asked;
pub use zones::{Placed, Topology, Witness, Zones};
