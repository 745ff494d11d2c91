//! The condition `ZonesServing` and its events.

use crate::actuate::Note;
use plimsoll_api::{
    ConditionCode, ConditionType, DecisionCode, ScalableServiceStatus, Verdict, reason::zones_lost,
};
use plimsoll_engine::Zones;

/// The condition: False while a zone is lost with all of its replicas.
#[must_use]
pub fn verdict(zones: &Zones) -> Verdict {
    let type_ = ConditionType::ZonesServing;
    if zones.lost.is_empty() {
        let message = format!("replicas serve in {}", counted(zones.serving.len()));
        return Verdict::new(type_, true, ConditionCode::ZonesServing, message);
    }
    let message = zones_lost(&zones.names_lost(), zones.replicas_lost, zones.replicas_left);
    Verdict::new(type_, false, DecisionCode::ZoneLost, message)
}

/// The event between two statuses: a zone was lost, or no zone is lost any more.
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
        (false, true) => Some(Note { warning: true, reason: DecisionCode::ZoneLost.into(), message }),
        (true, false) => {
            let message = format!("no zone is lost any more; {message}").trim_end_matches("; ").to_owned();
            Some(Note { warning: false, reason: ConditionCode::ZonesServing.into(), message })
        }
        _ => None,
    }
}

fn counted(zones: usize) -> String {
    format!("{zones} {}", if zones == 1 { "zone" } else { "zones" })
}
