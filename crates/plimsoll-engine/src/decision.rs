//! What was decided, with every step that led there.

use jiff::SignedDuration;

use super::{Drain, Zones};
use plimsoll_api::{DecisionCode, DecisionStep, KpiStatus};

/// The outcome of one look.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Replicas that the target should have. In modes Observe and Paused it is said, not done.
    pub replicas: i32,
    /// Every step in order, from the KPIs' proposals to the limits.
    pub reasons: Vec<DecisionStep>,
    /// The step that bound the outcome: what has to change for it to change.
    pub bound_by: DecisionCode,
    /// The largest proposal of the KPIs and the schedule, before any limit.
    pub proposed: i32,
    /// Replicas that the service needs for its own requests: the proposal without what others ask.
    pub own: i32,
    /// Each KPI as it was seen.
    pub kpis: Vec<KpiStatus>,
    /// When to look again.
    pub next_look: SignedDuration,
    /// What the load balancers have to finish first; `None` without any.
    pub drain: Option<Drain>,
    /// The zones that have replicas; `None` if no zone is known.
    pub zones: Option<Zones>,
}

impl Decision {
    /// Whether some step has this code.
    #[must_use]
    pub fn has(&self, code: DecisionCode) -> bool {
        self.reasons.iter().any(|step| step.code() == code)
    }
}
