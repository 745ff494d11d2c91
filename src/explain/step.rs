//! Which kind of step a reason is, and which of the steps bound the outcome.

use strum::IntoEnumIterator;

use plimsoll_api::{Reason, ReasonCode};

/// The part that a reason plays in a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A KPI asks for replicas.
    Proposal,
    /// Something worth knowing that asks for nothing.
    Note,
    /// The largest proposal is lifted, held or lowered.
    Limit,
    /// How the decision ended.
    End,
    /// Plimsoll can't work for this service.
    Trouble,
}

/// The part that a reason with this code plays.
#[must_use]
pub fn step(code: ReasonCode) -> Step {
    use ReasonCode as C;
    match code {
        C::LoadProposal
        | C::BurstProposal
        | C::UtilizationProposal
        | C::WithinTolerance
        | C::ObjectiveBreached
        | C::ObjectiveSettling
        | C::ScalingIneffective => Step::Proposal,
        C::ObjectiveNear
        | C::KpiNotFresh
        | C::EmptyMeansZero
        | C::NoReadyReplicas
        | C::MetricsUnavailable
        | C::MetricsIncomplete
        | C::MetricsFresh
        | C::WithinLimits
        | C::Progressing
        | C::DrainTimedOut
        | C::ZonesServing
        | C::BalancersInSync
        | C::BalancersStarting
        | C::HeadroomLeft
        | C::BalancersSaturated
        | C::RouteInSync
        | C::RouteChanged
        | C::NoOutliers
        | C::OutliersUnknown
        | C::TooFewPeers
        | C::OutlierEjected
        | C::EjectionBudgetSpent
        | C::OutlierReturned
        | C::OutlierReplaced
        | C::EvictionRefused
        | C::EvictionFailed
        | C::PrimaryServes
        | C::PrimaryFailing
        | C::NoStandbyReady
        | C::FleetLimit
        | C::MovingToStandby
        | C::StandbyServes
        | C::MovingToPrimary
        | C::SwitchLimit
        | C::EvidenceUnknown
        | C::FrozenByAnnotation
        | C::MovedByAnnotation
        | C::StandbyReady
        | C::StandbyNotReady => Step::Note,
        C::ScheduleFloor
        | C::StandbyFloor
        | C::ReturnFloor
        | C::HeldWithoutEvidence
        | C::HeldOnFirstLook
        | C::HeldForBurst
        | C::ScaleUpStabilized
        | C::ScaleDownStabilized
        | C::ScaleUpRateLimited
        | C::ScaleDownRateLimited
        | C::MinReplicas
        | C::MaxReplicas
        | C::RequestsHeld
        | C::ZoneLost
        | C::Draining => Step::Limit,
        C::Steady | C::ScaledUp | C::ScaledDown | C::Observing | C::Paused => Step::End,
        C::InvalidSpec | C::TargetNotFound | C::TargetNotScalable | C::ScalerConflict | C::ScaleFailed => {
            Step::Trouble
        }
        // Replicas go on being decided on while the balancers are in trouble.
        C::BalancerOutOfSync
        | C::BalancersFailed
        | C::RouteProgressing
        | C::RouteNotFound
        | C::RouteRefused
        | C::RouteNotAccepted
        | C::RouteNotServing
        | C::RouteFailed
        | C::PolicyNotServed
        | C::PolicyNotAccepted
        | C::PolicyFailed => Step::Note,
    }
}

/// The step that bound the outcome: Paused above all; then trouble; then the last limit that moved the number;
/// then the proposal that won; then whatever is left.
#[must_use]
pub fn binding(reasons: &[Reason]) -> Option<&Reason> {
    let of = |wanted: Step| reasons.iter().rev().find(move |reason| step(reason.code) == wanted);
    reasons
        .iter()
        .find(|reason| reason.code == ReasonCode::Paused)
        .or_else(|| of(Step::Trouble))
        .or_else(|| limits(reasons).last())
        .or_else(|| winner(reasons))
        .or_else(|| of(Step::Limit))
        .or_else(|| of(Step::Note))
        .or_else(|| of(Step::End))
}

/// The steps that moved the number after the proposals, in order. An Objective that keeps replicas from falling
/// stands twice among the reasons: as what it says, and then as the limit that it is.
pub(super) fn limits(reasons: &[Reason]) -> impl Iterator<Item = &Reason> {
    let again = |index: usize, reason: &Reason| {
        reasons.iter().take(index).any(|old| old.code == reason.code && old.name == reason.name)
    };
    let limits = move |(index, reason): &(usize, &Reason)| {
        reason.from != reason.to && (step(reason.code) == Step::Limit || again(*index, reason))
    };
    reasons.iter().enumerate().filter(limits).map(|(_, reason)| reason)
}

/// The proposal that won: the one that asks for what the limits then found, or for the most; as in the engine the
/// last of equals.
fn winner(reasons: &[Reason]) -> Option<&Reason> {
    let end = || reasons.iter().rev().find(|reason| step(reason.code) == Step::End).map(|end| end.to);
    let proposed = limits(reasons).next().map(|limit| limit.from).or_else(end);
    let proposals = || reasons.iter().filter(|reason| step(reason.code) == Step::Proposal);
    proposals()
        .rev()
        .find(|reason| Some(reason.to) == proposed)
        .or_else(|| proposals().max_by_key(|reason| reason.to))
}

/// What lifted the replicas to where a limit found them: the schedule if it did, else the proposal that won.
pub(super) fn demand(reasons: &[Reason]) -> Option<&Reason> {
    let lifted = |reason: &&Reason| reason.code == ReasonCode::ScheduleFloor && reason.to > reason.from;
    reasons.iter().rev().find(lifted).or_else(|| winner(reasons))
}

/// The reasons as they stand `elapsed` seconds after they were written: what is left of a wait has become less.
#[must_use]
pub fn aged(reasons: &[Reason], elapsed: f64) -> Vec<Reason> {
    let mut aged = reasons.to_vec();
    for left in aged.iter_mut().filter_map(|reason| reason.numbers.get_mut("secondsLeft")) {
        *left = (*left - elapsed.max(0.0)).max(0.0);
    }
    aged
}

/// The code that a condition's `reason` names, if it is one of ours.
#[must_use]
pub fn code_of(name: &str) -> Option<ReasonCode> {
    ReasonCode::iter().find(|code| code.name() == name)
}

#[cfg(test)]
mod tests {
    use super::{aged, binding, code_of};
    use plimsoll_api::{Reason, ReasonCode as C};

    fn bound(reasons: &[Reason]) -> Option<C> {
        binding(reasons).map(|reason| reason.code)
    }

    #[test]
    fn the_last_limit_that_moved_the_number_binds() {
        let load = Reason::new(C::LoadProposal, 10, 74);
        let held = Reason::new(C::ScaleUpStabilized, 74, 70);
        let capped = Reason::new(C::MaxReplicas, 70, 60);
        let end = Reason::new(C::ScaledUp, 10, 60);
        assert_eq!(bound(&[load.clone(), held.clone(), capped, end.clone()]), Some(C::MaxReplicas));
        let idle = Reason::new(C::MaxReplicas, 70, 70);
        assert_eq!(bound(&[load.clone(), held, idle, end.clone()]), Some(C::ScaleUpStabilized));
        assert_eq!(bound(&[load, end]), Some(C::LoadProposal));
    }

    #[test]
    fn of_equal_proposals_the_last_kpi_is_named() {
        let reasons = [
            Reason::new(C::LoadProposal, 5, 6).about("a"),
            Reason::new(C::UtilizationProposal, 5, 7).about("b"),
            Reason::new(C::LoadProposal, 5, 7).about("c"),
        ];
        assert_eq!(binding(&reasons).and_then(|reason| reason.name.as_deref()), Some("c"));
    }

    #[test]
    fn paused_binds_above_all_and_nothing_binds_nothing() {
        let reasons = [Reason::new(C::MaxReplicas, 9, 5), Reason::new(C::Paused, 5, 5)];
        assert_eq!(bound(&reasons), Some(C::Paused));
        assert_eq!(bound(&[]), None);
    }

    #[test]
    fn a_wait_gets_shorter_and_never_negative() {
        let reasons = [Reason::new(C::HeldOnFirstLook, 3, 5).with("secondsLeft", 30.0)];
        assert_eq!(aged(&reasons, 12.0)[0].number("secondsLeft"), Some(18.0));
        assert_eq!(aged(&reasons, 99.0)[0].number("secondsLeft"), Some(0.0));
        assert_eq!(aged(&reasons, -5.0)[0].number("secondsLeft"), Some(30.0));
    }

    #[test]
    fn a_conditions_reason_is_found_by_its_name() {
        assert_eq!(code_of("ScalerConflict"), Some(C::ScalerConflict));
        assert_eq!(code_of("SomethingNewer"), None);
    }
}
