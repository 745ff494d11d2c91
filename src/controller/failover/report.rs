//! The conditions `FailoverReady` and `PrimaryActive`, and the events of failover.

use crate::{actuate::Note, controller::outcome::Outcome};
use plimsoll_api::{
    ConditionType, FailoverCode, FailoverReason, FailoverState, PRIMARY, Percent, ScalableServiceStatus,
    Verdict,
};
use plimsoll_engine::FailoverDecision;

/// The two conditions.
#[must_use]
pub fn verdicts(failover: &FailoverDecision) -> [Verdict; 2] {
    let ready = &failover.ready;
    let can = ready.code() == FailoverCode::StandbyReady;
    [Verdict::new(ConditionType::FailoverReady, can, ready.code(), ready.to_string()), active(failover)]
}

/// `PrimaryActive`: whether the primary gets all requests, and should.
fn active(failover: &FailoverDecision) -> Verdict {
    let status = &failover.status;
    let here = status.active == PRIMARY && status.away() == Percent::ZERO;
    Verdict::new(ConditionType::PrimaryActive, here, failover.reason.code(), failover.reason.to_string())
}

/// The events between two statuses: switches, reasons against a switch, and readiness of the standbys.
#[must_use]
pub fn notes(old: &ScalableServiceStatus, new: &ScalableServiceStatus, outcome: &Outcome) -> Vec<Note> {
    let (Some(failover), Some(now)) = (outcome.failover(), &new.failover) else { return Vec::new() };
    let before = old.failover.as_ref().map(|before| before.state);
    let mut notes = Vec::new();
    let reason_of = |status: &ScalableServiceStatus, type_: &str| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == type_);
        condition.map(|condition| condition.reason.clone())
    };
    let note = |warning, reason: &FailoverReason| Note {
        warning,
        reason: reason.code().into(),
        message: reason.to_string(),
    };
    if before != Some(now.state) && worth_an_event(before, now.state) {
        let calm = matches!(now.state, FailoverState::Primary | FailoverState::Returning);
        notes.push(note(!calm, &failover.reason));
    }
    let alone = matches!(failover.reason.code(), FailoverCode::NoStandbyReady | FailoverCode::FleetLimit);
    if alone && reason_of(old, "PrimaryActive") != reason_of(new, "PrimaryActive") {
        notes.push(note(true, &failover.reason));
    }
    if reason_of(old, "FailoverReady") != reason_of(new, "FailoverReady") {
        notes.push(note(failover.ready.code() != FailoverCode::StandbyReady, &failover.ready));
    }
    notes
}

/// A passing suspicion is not an event, and neither is a primary that serves from the start.
fn worth_an_event(before: Option<FailoverState>, now: FailoverState) -> bool {
    let calm = matches!(
        (before, now),
        (_, FailoverState::Suspect) | (None | Some(FailoverState::Suspect), FailoverState::Primary)
    );
    !calm
}
