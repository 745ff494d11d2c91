//! The pure core: [`turn`]`(spec, observation, memory, now)`.
//!
//! No client, no runtime, no clock, no randomness, no logging, no environment: time comes in as an argument, and this crate
//! depends on nothing that could bring one in.

mod decide;
mod decision;
mod drain;
mod evidence;
mod failover;
mod history;
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
mod turn;
mod utilization;
mod zones;

pub use decision::Decision;
pub use drain::{Drain, Member, Rotation, drain};
pub use failover::{Capacity, Departure, Order, Shift, StandbySeen, Standing, Veto};
pub use history::{History, past_proposals};
pub use memory::{Change, Memory, Past};
pub use observation::SAME_SAMPLE;
pub use observation::{Observation, Pod, Pods, Sample, Value, Volume};
pub use outliers::{Peers, Recovery};
pub use recall::RECALLED;
pub use standby::Asked;
pub use turn::{Fleet, Turn, alone, turn, turn_unscaled};
pub use zones::{Placed, Topology, Witness, Zones};
