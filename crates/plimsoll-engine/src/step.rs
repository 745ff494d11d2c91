//! The replicas as limits are applied: every limit that changes them adds its reason.

use plimsoll_api::{DecisionCode, DecisionReason, DecisionStep};

/// The current number, its reasons, and the last reason that bound it.
#[derive(Debug)]
pub(super) struct Step {
    pub replicas: i32,
    pub reasons: Vec<DecisionStep>,
    pub bound_by: DecisionCode,
}

impl Step {
    /// Sets the replicas to `to` because of `reason`, which now binds.
    pub fn bind(&mut self, to: i32, reason: DecisionReason) {
        self.bound_by = reason.code();
        self.reasons.push(reason.step(self.replicas, to));
        self.replicas = to;
    }

    /// Raises the replicas to `floor` if they are below it.
    pub fn at_least(&mut self, floor: i32, reason: impl FnOnce() -> DecisionReason) {
        if self.replicas < floor {
            self.bind(floor, reason());
        }
    }

    /// Lowers the replicas to `ceiling` if they are above it.
    pub fn at_most(&mut self, ceiling: i32, reason: DecisionReason) {
        if self.replicas > ceiling {
            self.bind(ceiling, reason);
        }
    }
}
