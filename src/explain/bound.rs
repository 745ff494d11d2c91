//! The step or condition that bound a decision.

use plimsoll_api::{ConditionCode, DecisionCode, DecisionReason, DecisionStep, ReasonCode, Role, StepRecord};

/// What bound the outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound<'a> {
    /// A step of the decision.
    Step(&'a DecisionStep),
    /// A condition that keeps the service from being Ready, with its message.
    Condition(ConditionCode, &'a str),
}

impl<'a> Bound<'a> {
    /// The name of the reason.
    #[must_use]
    pub fn code(self) -> ReasonCode {
        match self {
            Self::Step(step) => step.code().into(),
            Self::Condition(code, _) => code.into(),
        }
    }

    /// The KPI, schedule entry or zones of the step.
    #[must_use]
    pub fn subject(self) -> Option<&'a str> {
        match self {
            Self::Step(step) => step.reason.subject(),
            Self::Condition(..) => None,
        }
    }

    /// Why Plimsoll can't decide, or can't carry out the decision.
    #[must_use]
    pub fn trouble(self) -> Option<&'a str> {
        match self {
            Self::Step(DecisionStep { reason: DecisionReason::ScaleFailed { why }, .. }) => Some(why),
            Self::Condition(code, message) if code.stops_deciding() => Some(message),
            _ => None,
        }
    }

    /// Whether it is the proposal of a KPI.
    #[must_use]
    pub fn is_proposal(self) -> bool {
        matches!(self, Self::Step(step) if step.code().role() == Role::Proposal)
    }
}

/// What bound the outcome, in this order: Paused; a condition or a failure that stops Plimsoll; the last limit that moved
/// the number; the winning proposal; another condition that keeps the service from being Ready; a note or the end.
#[must_use]
pub fn binding<'a>(
    steps: &'a [DecisionStep],
    unready: Option<(ConditionCode, &'a str)>,
) -> Option<Bound<'a>> {
    let paused = || steps.iter().find(|step| step.code() == DecisionCode::Paused).map(Bound::Step);
    let stops = unready.filter(|(code, _)| code.stops_deciding());
    let condition = |(code, message)| Bound::Condition(code, message);
    paused()
        .or_else(|| stops.map(condition))
        .or_else(|| of(steps, Role::Trouble).map(Bound::Step))
        .or_else(|| moved_or_asked(steps).map(Bound::Step))
        .or_else(|| unready.map(condition))
        .or_else(|| of(steps, Role::Note).or_else(|| of(steps, Role::End)).map(Bound::Step))
}

/// The same among the steps alone.
#[must_use]
pub fn binding_step(steps: &[DecisionStep]) -> Option<&DecisionStep> {
    match binding(steps, None)? {
        Bound::Step(step) => Some(step),
        Bound::Condition(..) => None,
    }
}

fn of(steps: &[DecisionStep], role: Role) -> Option<&DecisionStep> {
    steps.iter().rev().find(|step| step.code().role() == role)
}

fn moved_or_asked(steps: &[DecisionStep]) -> Option<&DecisionStep> {
    limits(steps).last().or_else(|| winner(steps)).or_else(|| of(steps, Role::Limit))
}

/// The steps that moved the number after the proposals, in order. An Objective that prevents a scale-down appears twice in
/// `steps`: as a proposal, and then as a limit.
fn limits(steps: &[DecisionStep]) -> impl Iterator<Item = &DecisionStep> {
    let repeated = |index: usize, step: &DecisionStep| steps.iter().take(index).any(|old| same(old, step));
    let limits = move |(index, step): &(usize, &DecisionStep)| {
        step.from != step.to && (step.code().role() == Role::Limit || repeated(*index, step))
    };
    steps.iter().enumerate().filter(limits).map(|(_, step)| step)
}

/// Whether two steps have the same code and the same subject.
#[must_use]
pub fn same(one: &DecisionStep, other: &DecisionStep) -> bool {
    one.code() == other.code() && one.reason.subject() == other.reason.subject()
}

/// The winning proposal: the one with the number that the limits started from, else the highest. Of equal proposals the last
/// one wins, as in the engine.
fn winner(steps: &[DecisionStep]) -> Option<&DecisionStep> {
    let end = || of(steps, Role::End).map(|end| end.to);
    let proposed = limits(steps).next().map(|limit| limit.from).or_else(end);
    let proposals = || steps.iter().filter(|step| step.code().role() == Role::Proposal);
    proposals()
        .rev()
        .find(|step| Some(step.to) == proposed)
        .or_else(|| proposals().max_by_key(|step| step.to))
}

/// The step that set the number before the limits: the schedule if it raised the number, else the winning proposal.
pub(super) fn demand(steps: &[DecisionStep]) -> Option<&DecisionStep> {
    let lifted = |step: &&DecisionStep| step.code() == DecisionCode::ScheduleFloor && step.to > step.from;
    steps.iter().rev().find(lifted).or_else(|| winner(steps))
}

/// Recorded steps, aged by `elapsed` seconds: the remaining time of each wait is reduced. Steps that this version can't read
/// are left out.
#[must_use]
pub fn aged(records: &[StepRecord], elapsed: f64) -> Vec<DecisionStep> {
    let aged = |record: &StepRecord| {
        let mut record = record.clone();
        if let Some(left) = record.numbers.get_mut("secondsLeft") {
            *left = (*left - elapsed.max(0.0)).max(0.0);
        }
        DecisionStep::try_from(&record).ok()
    };
    records.iter().filter_map(aged).collect()
}

#[cfg(test)]
mod tests {
    use super::{Bound, aged, binding, binding_step};
    use plimsoll_api::{ConditionCode, DecisionCode as C, DecisionReason as R, DecisionStep, StepRecord};

    fn load(kpi: &str, from: i32, to: i32) -> DecisionStep {
        R::LoadProposal { kpi: kpi.to_owned(), value: 1.0, per_replica: 1.0, estimate: None }.step(from, to)
    }

    fn bound(steps: &[DecisionStep]) -> Option<C> {
        binding_step(steps).map(DecisionStep::code)
    }

    #[test]
    fn the_last_limit_that_moved_the_number_binds() {
        let load = load("a", 10, 74);
        let held = R::ScaleUpStabilized { window_seconds: 60.0, limit: 70, seconds_left: 9.0 }.step(74, 70);
        let capped = R::MaxReplicas { max_replicas: 60 }.step(70, 60);
        let end = R::ScaledUp.step(10, 60);
        assert_eq!(bound(&[load.clone(), held.clone(), capped, end.clone()]), Some(C::MaxReplicas));
        let idle = R::MaxReplicas { max_replicas: 70 }.step(70, 70);
        assert_eq!(bound(&[load.clone(), held, idle, end.clone()]), Some(C::ScaleUpStabilized));
        assert_eq!(bound(&[load, end]), Some(C::LoadProposal));
    }

    #[test]
    fn last_of_equal_proposals_binds() {
        let steps = [load("a", 5, 6), load("b", 5, 7), load("c", 5, 7)];
        assert_eq!(binding_step(&steps).and_then(|step| step.reason.subject()), Some("c"));
    }

    #[test]
    fn paused_precedes_limits_and_no_steps_have_no_bound() {
        let steps = [R::MaxReplicas { max_replicas: 5 }.step(9, 5), R::Paused.step(5, 5)];
        assert_eq!(bound(&steps), Some(C::Paused));
        assert_eq!(bound(&[]), None);
    }

    #[test]
    fn condition_binds_without_a_proposal_or_limit_and_always_if_it_stops_deciding() {
        let code = |condition, steps: &[DecisionStep]| binding(steps, Some((condition, ""))).map(Bound::code);
        let (asks, end) = ([load("a", 5, 6)], [R::Steady.step(5, 5)]);
        let not_found = ConditionCode::TargetNotFound;
        assert_eq!(code(not_found, &asks), Some(not_found.into()));
        let blind = ConditionCode::MetricsUnavailable;
        assert_eq!(code(blind, &asks), Some(C::LoadProposal.into()));
        assert_eq!(code(blind, &end), Some(blind.into()));
    }

    #[test]
    fn aged_waits_shrink_to_zero_at_most() {
        let records = [StepRecord::from(&R::HeldOnFirstLook { seconds_left: 30.0 }.step(3, 5))];
        let left = |elapsed| aged(&records, elapsed).pop().map(|step| step.reason);
        let held = |seconds_left| Some(R::HeldOnFirstLook { seconds_left });
        assert_eq!((left(12.0), left(99.0), left(-5.0)), (held(18.0), held(0.0), held(30.0)));
    }
}
