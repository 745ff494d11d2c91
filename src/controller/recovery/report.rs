//! What is said of replicas that stand out: the condition `ReplicasHealthy` and its events.

use crate::{actuate::Note, controller::outcome::Outcome, explain};
use plimsoll_api::{ConditionType, Reason, ReasonCode, RecoveryStatus, ScalableServiceStatus, Verdict};
use plimsoll_engine::Recovery;

/// Sentences in a condition; the rest is counted.
const SENTENCES_MAX: usize = 3;

/// The condition: False while a replica is out or should be, Unknown while nobody can be judged.
#[must_use]
pub fn verdict(recovery: &Recovery) -> Verdict {
    let first = recovery.reasons.first();
    let code = first.map_or(ReasonCode::NoOutliers, |reason| reason.code);
    let status = match code {
        ReasonCode::NoOutliers => Some(true),
        ReasonCode::Paused | ReasonCode::OutliersUnknown | ReasonCode::TooFewPeers => None,
        _ => Some(false),
    };
    let message = match code {
        ReasonCode::Paused => "mode is Paused: no replica is ejected, replaced or put back".to_owned(),
        ReasonCode::Observing => {
            let pods = first.and_then(|reason| reason.detail.as_deref()).unwrap_or("a replica");
            format!("mode is Observe: would be ejected: {pods}")
        }
        _ => said(&recovery.reasons),
    };
    Verdict { type_: ConditionType::ReplicasHealthy, status, reason: code, message }
}

fn said(reasons: &[Reason]) -> String {
    let shown: Vec<String> = reasons.iter().take(SENTENCES_MAX).map(explain::sentence).collect();
    let more = reasons.len().saturating_sub(SENTENCES_MAX);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    shown.join("; ") + &rest
}

/// The events between two statuses: who was ejected, evicted, put back; and when the reason became one to look at.
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
    let told = [ReasonCode::EjectionBudgetSpent, ReasonCode::EvictionRefused, ReasonCode::EvictionFailed];
    if let Some(first) = reasons.first().filter(|first| told.contains(&first.code))
        && reason(old) != reason(new)
    {
        notes.push(Note { warning: true, reason: first.code, message: explain::sentence(first) });
    }
    notes
}

fn moves(before: &RecoveryStatus, now: &RecoveryStatus, reasons: &[Reason]) -> Vec<Note> {
    let mut notes = Vec::new();
    let was_out = before.ejected_pods();
    let plain = |code, pod: &str| explain::sentence(&Reason::new(code, 0, 0).about(pod));
    for out in &now.ejected {
        let pod = &out.pod;
        if !was_out.contains(pod) {
            let code = ReasonCode::OutlierEjected;
            let why = reasons.iter().find(|reason| reason.code == code && reason.name.as_ref() == Some(pod));
            let message = why.map_or_else(|| plain(code, pod), explain::sentence);
            notes.push(Note { warning: true, reason: code, message });
        }
        let evicted = before.ejected.iter().any(|old| old.pod == *pod && old.evicted.is_some());
        if out.evicted.is_some() && !evicted {
            let reason = ReasonCode::OutlierReplaced;
            notes.push(Note { warning: false, reason, message: plain(reason, pod) });
        }
    }
    for back in &now.returned {
        if was_out.contains(&back.pod) {
            let reason = ReasonCode::OutlierReturned;
            notes.push(Note { warning: false, reason, message: plain(reason, &back.pod) });
        }
    }
    notes
}
