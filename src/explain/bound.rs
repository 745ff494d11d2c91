//! Which of the steps bound the outcome.

use plimsoll_api::{ConditionCode, DecisionCode, DecisionReason, DecisionStep, ReasonCode, Role, StepRecord};

/// What bound the outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound<'a> {
    /// A step of the decision.
    Step(&'a DecisionStep),
    /// What keeps the service from being Ready.
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

    /// The KPI, schedule entry or zones that it is about.
    #[must_use]
    pub fn subject(self) -> Option<&'a str> {
        match self {
            Self::Step(step) => step.reason.subject(),
            Self::Condition(..) => None,
        }
    }

    /// What keeps Plimsoll from deciding, or from doing what was decided.
    #[must_use]
    pub fn trouble(self) -> Option<&'a str> {
        match self {
            Self::Step(DecisionStep { reason: DecisionReason::ScaleFailed { why }, .. }) => Some(why),
            Self::Condition(code, message) if code.stops_deciding() => Some(message),
            _ => None,
        }
    }

    /// Whether a KPI's proposal bound it.
    #[must_use]
    pub fn is_proposal(self) -> bool {
        matches!(self, Self::Step(step) if step.code().role() == Role::Proposal)
    }
}

/// What bound the outcome: Paused above all; then what keeps Plimsoll from working; then the last limit that moved the
/// number; then the proposal that won; then what else keeps the service from being Ready; then whatever is left.
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

/// The steps that moved the number after the proposals, in order. An Objective that keeps replicas from falling
/// stands twice among them: as what it says, and then as the limit that it is.
fn limits(steps: &[DecisionStep]) -> impl Iterator<Item = &DecisionStep> {
    let again = |index: usize, step: &DecisionStep| steps.iter().take(index).any(|old| same(old, step));
    let limits = move |(index, step): &(usize, &DecisionStep)| {
        step.from != step.to && (step.code().role() == Role::Limit || again(*index, step))
    };
    steps.iter().enumerate().filter(limits).map(|(_, step)| step)
}

/// Whether two steps say the same of the same.
#[must_use]
pub fn same(one: &DecisionStep, other: &DecisionStep) -> bool {
    one.code() == other.code() && one.reason.subject() == other.reason.subject()
}

/// The proposal that won: the one that asks for what the limits then found, or for the most; as in the engine the
/// last of equals.
fn winner(steps: &[DecisionStep]) -> Option<&DecisionStep> {
    let end = || of(steps, Role::End).map(|end| end.to);
    let proposed = limits(steps).next().map(|limit| limit.from).or_else(end);
    let proposals = || steps.iter().filter(|step| step.code().role() == Role::Proposal);
    proposals()
        .rev()
        .find(|step| Some(step.to) == proposed)
        .or_else(|| proposals().max_by_key(|step| step.to))
}

/// What lifted the replicas to where a limit found them: the schedule if it did, else the proposal that won.
pub(super) fn demand(steps: &[DecisionStep]) -> Option<&DecisionStep> {
    let lifted = |step: &&DecisionStep| step.code() == DecisionCode::ScheduleFloor && step.to > step.from;
    steps.iter().rev().find(lifted).or_else(|| winner(steps))
}

/// Written steps as they stand `elapsed` seconds later: what is left of a wait has become less. Steps that this version
/// can't read are left out.
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
    fn of_equal_proposals_the_last_kpi_is_named() {
        let steps = [load("a", 5, 6), load("b", 5, 7), load("c", 5, 7)];
        assert_eq!(binding_step(&steps).and_then(|step| step.reason.subject()), Some("c"));
    }

    #[test]
    fn paused_binds_above_all_and_nothing_binds_nothing() {
        let steps = [R::MaxReplicas { max_replicas: 5 }.step(9, 5), R::Paused.step(5, 5)];
        assert_eq!(bound(&steps), Some(C::Paused));
        assert_eq!(bound(&[]), None);
    }

    #[test]
    fn a_condition_binds_where_no_proposal_or_limit_does_and_always_if_nothing_can_be_decided() {
        let code = |condition, steps: &[DecisionStep]| binding(steps, Some((condition, ""))).map(Bound::code);
        let (asks, end) = ([load("a", 5, 6)], [R::Steady.step(5, 5)]);
        let gone = ConditionCode::TargetNotFound;
        assert_eq!(code(gone, &asks), Some(gone.into()));
        let blind = ConditionCode::MetricsUnavailable;
        assert_eq!(code(blind, &asks), Some(C::LoadProposal.into()));
        assert_eq!(code(blind, &end), Some(blind.into()));
    }

    #[test]
    fn a_wait_gets_shorter_and_never_negative() {
        let records = [StepRecord::from(&R::HeldOnFirstLook { seconds_left: 30.0 }.step(3, 5))];
        let left = |elapsed| aged(&records, elapsed).pop().map(|step| step.reason);
        let held = |seconds_left| Some(R::HeldOnFirstLook { seconds_left });
        assert_eq!((left(12.0), left(99.0), left(-5.0)), (held(18.0), held(0.0), held(30.0)));
    }
}
