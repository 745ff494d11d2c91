//! Replicas on their way through the limits: every limit that changes them leaves its reason.

use plimsoll_api::{DecisionCode, DecisionReason, DecisionStep};

/// The number so far, the reasons so far, and the one that bound it last.
#[derive(Debug)]
pub(super) struct Step {
    pub replicas: i32,
    pub reasons: Vec<DecisionStep>,
    pub bound_by: DecisionCode,
}

impl Step {
    /// Goes to `to` replicas because of `reason`, which now binds.
    pub fn bind(&mut self, to: i32, reason: DecisionReason) {
        self.bound_by = reason.code();
        self.reasons.push(reason.step(self.replicas, to));
        self.replicas = to;
    }

    /// Never below `floor`, which `reason` demands.
    pub fn at_least(&mut self, floor: i32, reason: impl FnOnce() -> DecisionReason) {
        if self.replicas < floor {
            self.bind(floor, reason());
        }
    }

    /// Never above `ceiling`, which `reason` demands.
    pub fn at_most(&mut self, ceiling: i32, reason: DecisionReason) {
        if self.replicas > ceiling {
            self.bind(ceiling, reason);
        }
    }
}
