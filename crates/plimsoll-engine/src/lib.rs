//! The pure decision core: [`turn`]`(spec, observation, memory, now)`.
//!
//! It has no client, runtime, clock, randomness, logging or environment; time is an argument. The crate depends on no library
//! for them, and its `clippy.toml` forbids those of the standard library.

pub mod arbiter;
mod burst;
pub mod capacity;
mod changes;
mod decide;
mod decision;
mod drain;
mod evidence;
mod failover;
mod history;
mod kpis;
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
mod targets;
mod traffic;
mod turn;
mod utilization;
mod zones;

pub use changes::Change;
pub use decision::Decision;
pub use drain::{Drain, drain};
pub use failover::{Consent, Departure, FailoverDecision, Veto, alone};
pub use history::{History, Past, past_proposals};
pub use memory::Memory;
pub use observation::{
    Asked, Capacity, FailoverInput, ManualOverride, Member, Observation, Peers, Placed, Pod, Pods, Rotation,
    SAME_SAMPLE, Sample, StandbySeen, Topology, Value, Volume, Witness, Zones,
};
pub use outliers::Recovery;
pub use recall::RECALLED;
pub use turn::{Turn, turn, turn_unscaled};
