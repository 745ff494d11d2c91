//! The scaling decision of a turn, with every step that led to it.

use jiff::SignedDuration;

use super::{Drain, Zones};
use plimsoll_api::{DecisionCode, DecisionStep, KpiStatus};

/// The scaling decision of one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Wanted replicas of the target. In modes Observe and Paused they are reported, not applied.
    pub replicas: i32,
    /// Every step in order, from the KPIs' proposals to the limits.
    pub reasons: Vec<DecisionStep>,
    /// The step that determined the result. A different result needs a change of this step.
    pub bound_by: DecisionCode,
    /// The largest demand of KPIs, schedule, failover and held requests, before any limit.
    pub proposed: i32,
    /// Replicas that the service needs for its own requests, without the claims of other services.
    pub own: i32,
    /// The status of each KPI.
    pub kpis: Vec<KpiStatus>,
    /// Time until the next turn.
    pub next_look: SignedDuration,
    /// Replicas that the load balancers drain; `None` without a balancer.
    pub drain: Option<Drain>,
    /// The zones that have replicas; `None` if no zone is known.
    pub zones: Option<Zones>,
}

impl Decision {
    /// Whether a step has this code.
    #[must_use]
    pub fn has(&self, code: DecisionCode) -> bool {
        self.reasons.iter().any(|step| step.code() == code)
    }
}
