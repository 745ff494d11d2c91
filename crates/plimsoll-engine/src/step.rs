//! Replicas on their way through the limits: every limit that changes them leaves its reason.

use plimsoll_api::{Reason, ReasonCode};

/// The number so far, the reasons so far, and the one that bound it last.
#[derive(Debug)]
pub(super) struct Step {
    pub replicas: i32,
    pub reasons: Vec<Reason>,
    pub bound_by: ReasonCode,
}

impl Step {
    /// Takes the number of `reason`, which now binds.
    pub fn bind(&mut self, reason: Reason) {
        self.replicas = reason.to;
        self.bound_by = reason.code;
        self.reasons.push(reason);
    }

    /// Never below `floor`, which `code` demands.
    pub fn at_least(&mut self, floor: i32, reason: impl FnOnce(i32, i32) -> Reason) {
        if self.replicas < floor {
            let reason = reason(self.replicas, floor);
            self.bind(reason);
        }
    }

    /// Never above `ceiling`, which `code` demands.
    pub fn at_most(&mut self, ceiling: i32, reason: impl FnOnce(i32, i32) -> Reason) {
        if self.replicas > ceiling {
            let reason = reason(self.replicas, ceiling);
            self.bind(reason);
        }
    }
}
