//! The role of a step in a decision.

use super::{DecisionCode, DecisionReason};

/// The role of a step in a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A KPI proposes replicas.
    Proposal,
    /// Information without a proposal.
    Note,
    /// The largest proposal is raised, held or lowered.
    Limit,
    /// The result of the decision.
    End,
    /// The decision could not be applied.
    Trouble,
}

impl DecisionCode {
    /// The role of a step with this code.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::LoadProposal
            | Self::BurstProposal
            | Self::UtilizationProposal
            | Self::WithinTolerance
            | Self::ObjectiveBreached
            | Self::ObjectiveSettling
            | Self::ScalingIneffective => Role::Proposal,
            Self::ObjectiveNear | Self::KpiNotFresh | Self::NoReadyReplicas | Self::DrainTimedOut => {
                Role::Note
            }
            Self::ScheduleFloor
            | Self::StandbyFloor
            | Self::ReturnFloor
            | Self::HeldWithoutEvidence
            | Self::HeldOnFirstLook
            | Self::HeldForBurst
            | Self::ScaleUpStabilized
            | Self::ScaleDownStabilized
            | Self::ScaleUpRateLimited
            | Self::ScaleDownRateLimited
            | Self::MinReplicas
            | Self::MaxReplicas
            | Self::RequestsHeld
            | Self::ZoneLost
            | Self::Draining => Role::Limit,
            Self::Steady | Self::ScaledUp | Self::ScaledDown | Self::Observing | Self::Paused => Role::End,
            Self::ScaleFailed => Role::Trouble,
        }
    }

    /// Whether a step with this code can bind a decision.
    #[must_use]
    pub fn binds(self) -> bool {
        match self.role() {
            Role::Proposal | Role::Limit => true,
            // Without a proposal, the last note of a KPI binds.
            Role::Note => self != Self::DrainTimedOut,
            Role::End | Role::Trouble => false,
        }
    }
}

impl DecisionReason {
    /// The KPI, schedule entry or zones of the step.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::LoadProposal { kpi, .. }
            | Self::BurstProposal { kpi, .. }
            | Self::UtilizationProposal { kpi, .. }
            | Self::WithinTolerance { kpi, .. }
            | Self::ObjectiveBreached { kpi, .. }
            | Self::ObjectiveSettling { kpi, .. }
            | Self::ObjectiveNear { kpi, .. }
            | Self::ScalingIneffective { kpi, .. }
            | Self::KpiNotFresh { kpi, .. }
            | Self::NoReadyReplicas { kpi } => Some(kpi),
            Self::ZoneLost { zones, .. } => Some(zones),
            Self::ScheduleFloor { entry, .. } => Some(entry),
            _ => None,
        }
    }
}
