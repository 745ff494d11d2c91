//! The replicas side by side.

use super::{rotation::Member, sample::Sample};
use plimsoll_api::RecoveryStatus;

/// The replicas side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// A number for each pod.
    pub sample: Sample,
    /// The target's pods that are there to stay.
    pub members: Vec<Member>,
    /// What was done before, as status tells.
    pub last_written: RecoveryStatus,
}
