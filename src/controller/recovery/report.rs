//! The condition `ReplicasHealthy`, and the events of outliers.

use crate::{actuate::Note, controller::outcome::Outcome};
use plimsoll_api::{
    ConditionType, RecoveryCode, RecoveryReason, RecoveryStatus, ScalableServiceStatus, Verdict,
};
use plimsoll_engine::Recovery;

/// Maximum number of sentences in a condition; further ones are only counted.
const SENTENCES_MAX: usize = 3;

/// The condition: False while a replica is ejected or should be, Unknown while outliers can't be detected.
#[must_use]
pub fn verdict(recovery: &Recovery) -> Verdict {
    let code = recovery.reasons.first().map_or(RecoveryCode::NoOutliers, RecoveryReason::code);
    let status = match code {
        RecoveryCode::NoOutliers => Some(true),
        RecoveryCode::Paused | RecoveryCode::OutliersUnknown | RecoveryCode::TooFewPeers => None,
        _ => Some(false),
    };
    let message = message(&recovery.reasons);
    Verdict { type_: ConditionType::ReplicasHealthy, status, reason: code.into(), message }
}

fn message(reasons: &[RecoveryReason]) -> String {
    let shown: Vec<String> = reasons.iter().take(SENTENCES_MAX).map(ToString::to_string).collect();
    let more = reasons.len().saturating_sub(SENTENCES_MAX);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    shown.join("; ") + &rest
}

/// The events between two statuses: replicas that were ejected, evicted or returned, and new problems.
#[must_use]
pub fn notes(old: &ScalableServiceStatus, new: &ScalableServiceStatus, outcome: &Outcome) -> Vec<Note> {
    let (Outcome::Done(done), Some(now)) = (outcome, &new.recovery) else { return Vec::new() };
    let reasons = done.progress.recovery.as_ref().map_or(&[][..], |recovery| &recovery.reasons);
    let before = old.recovery.clone().unwrap_or_default();
    let mut notes = moves(&before, now, reasons);
    let reason = |status: &ScalableServiceStatus| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == "ReplicasHealthy");
        condition.map(|condition| condition.reason.clone())
    };
    let problems =
        [RecoveryCode::EjectionBudgetSpent, RecoveryCode::EvictionRefused, RecoveryCode::EvictionFailed];
    if let Some(first) = reasons.first().filter(|first| problems.contains(&first.code()))
        && reason(old) != reason(new)
    {
        notes.push(note(true, first));
    }
    notes
}

fn note(warning: bool, reason: &RecoveryReason) -> Note {
    Note { warning, reason: reason.code().into(), message: reason.to_string() }
}

fn moves(before: &RecoveryStatus, now: &RecoveryStatus, reasons: &[RecoveryReason]) -> Vec<Note> {
    let mut notes = Vec::new();
    let was_out = before.ejected_pods();
    for out in &now.ejected {
        let pod = &out.pod;
        if !was_out.contains(pod) {
            let of_pod = |reason: &&RecoveryReason| matches!(reason, RecoveryReason::OutlierEjected { pod: ejected, .. } if ejected == pod);
            let plain = RecoveryReason::OutlierEjected { pod: pod.clone(), judged: None };
            notes.push(note(true, reasons.iter().find(of_pod).unwrap_or(&plain)));
        }
        let evicted = before.ejected.iter().any(|old| old.pod == *pod && old.evicted.is_some());
        if out.evicted.is_some() && !evicted {
            notes.push(note(false, &RecoveryReason::OutlierReplaced { pod: pod.clone() }));
        }
    }
    for back in &now.returned {
        if was_out.contains(&back.pod) {
            notes.push(note(false, &RecoveryReason::OutlierReturned { pod: back.pod.clone() }));
        }
    }
    notes
}
