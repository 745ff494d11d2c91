//! What is said of the zones that the replicas are in: the condition `ZonesServing` and its events.

use crate::{actuate::Note, explain};
use plimsoll_api::{ConditionType, Reason, ReasonCode, ScalableServiceStatus, Verdict};
use plimsoll_engine::Zones;

/// The condition: False while a zone is lost with all of its replicas.
#[must_use]
pub fn verdict(zones: &Zones) -> Verdict {
    let type_ = ConditionType::ZonesServing;
    if zones.lost.is_empty() {
        let message = format!("replicas serve in {}", counted(zones.serving.len()));
        return Verdict::new(type_, true, ReasonCode::ZonesServing, message);
    }
    let names: Vec<&str> = zones.lost.iter().map(String::as_str).collect();
    let reason = Reason::new(ReasonCode::ZoneLost, 0, 0)
        .about(&names.join(", "))
        .with("lost", f64::from(zones.replicas_lost))
        .with("left", f64::from(zones.replicas_left));
    Verdict::new(type_, false, ReasonCode::ZoneLost, explain::sentence(&reason))
}

/// The events between two statuses: a zone was lost, and none is any more.
#[must_use]
pub fn notes(old: &ScalableServiceStatus, new: &ScalableServiceStatus) -> Option<Note> {
    let lost = |status: &ScalableServiceStatus| {
        let mut conditions = status.conditions.iter();
        let condition = conditions.find(|condition| condition.type_ == "ZonesServing")?;
        Some((condition.status == "False", condition.message.clone()))
    };
    let before = lost(old).is_some_and(|(lost, _)| lost);
    let (now, message) = lost(new).unwrap_or_default();
    match (before, now) {
        (false, true) => Some(Note { warning: true, reason: ReasonCode::ZoneLost, message }),
        (true, false) => {
            let message = format!("no zone is lost any more; {message}").trim_end_matches("; ").to_owned();
            Some(Note { warning: false, reason: ReasonCode::ZonesServing, message })
        }
        _ => None,
    }
}

fn counted(zones: usize) -> String {
    format!("{zones} {}", if zones == 1 { "zone" } else { "zones" })
}
