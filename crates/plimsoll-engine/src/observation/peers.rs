//! The replicas with their outlier sample.

use super::{rotation::Member, sample::Sample};
use plimsoll_api::RecoveryStatus;

/// The replicas with their outlier sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// The sample, with a value for each pod.
    pub sample: Sample,
    /// The target's pods that are not being deleted.
    pub members: Vec<Member>,
    /// The last written status.
    pub last_written: RecoveryStatus,
}
