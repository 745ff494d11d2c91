//! What is said of failover: the conditions `FailoverReady` and `PrimaryActive`, and their events.

use crate::{actuate::Note, controller::outcome::Outcome, explain};
use plimsoll_api::{
    ConditionType, FailoverState, PRIMARY, Percent, ReasonCode, ScalableServiceStatus, Verdict,
};
use plimsoll_engine::Shift;

/// The two conditions.
#[must_use]
pub fn verdicts(shift: &Shift) -> [Verdict; 2] {
    let ready = &shift.ready;
    let can = ready.code == ReasonCode::StandbyReady;
    [Verdict::new(ConditionType::FailoverReady, can, ready.code, explain::sentence(ready)), active(shift)]
}

/// Whether the primary gets all requests, and should.
fn active(shift: &Shift) -> Verdict {
    let status = &shift.status;
    let here = status.active == PRIMARY && status.away() == Percent::ZERO;
    let type_ = ConditionType::PrimaryActive;
    match shift.reasons.first() {
        Some(reason) => Verdict::new(type_, here, reason.code, explain::sentence(reason)),
        None => {
            Verdict::new(type_, here, ReasonCode::PrimaryServes, explain::fact(ReasonCode::PrimaryServes))
        }
    }
}

/// The events between two statuses: where requests go, why they stay, and whether a standby would take them.
#[must_use]
pub fn notes(old: &ScalableServiceStatus, new: &ScalableServiceStatus, outcome: &Outcome) -> Vec<Note> {
    let (Some(shift), Some(now)) = (outcome.shift(), &new.failover) else { return Vec::new() };
    let before = old.failover.as_ref().map(|before| before.state);
    let mut notes = Vec::new();
    let reason_of = |status: &ScalableServiceStatus, type_: &str| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == type_);
        condition.map(|condition| condition.reason.clone())
    };
    if let Some(first) = shift.reasons.first().filter(|_| before != Some(now.state))
        && worth_an_event(before, now.state)
    {
        let calm = matches!(now.state, FailoverState::Primary | FailoverState::Returning);
        notes.push(Note { warning: !calm, reason: first.code, message: explain::sentence(first) });
    }
    let alone = [ReasonCode::NoStandbyReady, ReasonCode::FleetLimit];
    if let Some(first) = shift.reasons.first().filter(|first| alone.contains(&first.code))
        && reason_of(old, "PrimaryActive") != reason_of(new, "PrimaryActive")
    {
        notes.push(Note { warning: true, reason: first.code, message: explain::sentence(first) });
    }
    if reason_of(old, "FailoverReady") != reason_of(new, "FailoverReady") {
        let warning = shift.ready.code != ReasonCode::StandbyReady;
        notes.push(Note { warning, reason: shift.ready.code, message: explain::sentence(&shift.ready) });
    }
    notes
}

/// Signs that come and go are no event, and neither is a primary that serves from the start.
fn worth_an_event(before: Option<FailoverState>, now: FailoverState) -> bool {
    let calm = matches!(
        (before, now),
        (_, FailoverState::Suspect) | (None | Some(FailoverState::Suspect), FailoverState::Primary)
    );
    !calm
}
