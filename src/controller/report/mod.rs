//! From an outcome to status, conditions and events. Pure, except for [`report`], which writes them.

mod changes;
mod conditions;
mod status;
#[cfg(test)]
mod tests;
mod write;

use super::{
    capability::{Capability, Reported, SharedFacts},
    outcome::Outcome,
};
use crate::actuate::Note;
use plimsoll_api::{Mode, Verdict};

pub use status::{changed, decisions_of, own_status};
pub use write::report;

/// All conditions of a service; `traffic` is `TrafficSynced`.
fn conditions(
    capabilities: &[Box<dyn Capability>],
    mode: Mode,
    traffic: Option<&Verdict>,
    facts: &SharedFacts,
    outcome: &Outcome,
) -> Vec<Verdict> {
    let own = capabilities.iter().flat_map(|capability| capability.conditions(facts, outcome));
    conditions::conditions(mode, outcome, traffic).into_iter().chain(own).collect()
}

/// All events for the change from one status to the next.
fn notes(capabilities: &[Box<dyn Capability>], change: &Reported<'_>) -> Vec<Note> {
    let own = capabilities.iter().flat_map(|capability| capability.notes(change));
    changes::scaled(change).into_iter().chain(own).chain(changes::ready(change)).collect()
}
