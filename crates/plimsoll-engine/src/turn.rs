//! One turn of one service: from what is observed to everything that is decided.

use jiff::Timestamp;

use super::{
    Decision, Memory, Observation, Recovery, Shift,
    decide::decide,
    evidence,
    failover::{self, Departure, Veto},
    outliers::judge,
};
use plimsoll_api::Validated;

/// Everything that one turn decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// How many replicas there should be.
    pub decision: Decision,
    /// Where requests go; `None` without `spec.failover`.
    pub failover: Option<Shift>,
    /// Which replicas are ejected or replaced; `None` without `spec.recovery`.
    pub recovery: Option<Recovery>,
}

/// The answer of the other services to a departure from the primary. It may be asked several times in a turn, and grants
/// at most one departure.
pub type Fleet<'a> = dyn FnMut(Departure<'_>) -> Result<(), Veto> + 'a;

/// A fleet that allows every departure: for a service without others.
///
/// # Errors
/// None.
pub fn alone(_: Departure<'_>) -> Result<(), Veto> {
    Ok(())
}

/// Decides everything for one service at `now`. Each sample is graded once; recovery, failover and replicas all decide
/// on that grade.
#[must_use]
pub fn turn(
    spec: &Validated,
    seen: &Observation,
    memory: &mut Memory,
    now: Timestamp,
    fleet: &mut Fleet<'_>,
) -> Turn {
    let graded = evidence::graded(spec, seen, memory, now);
    let recovery = judge(spec, seen, memory, now);
    let failover = failover::decide(spec, seen, &graded, memory, now, fleet);
    let returning = failover.as_ref().map_or(0, |shift| shift.floor);
    let decision = decide(spec, seen, &graded, returning, memory, now);
    Turn { decision, failover, recovery }
}

/// The turn of a service whose target is not ours to scale: only where its requests go is decided.
#[must_use]
pub fn turn_unscaled(
    spec: &Validated,
    seen: &Observation,
    memory: &mut Memory,
    now: Timestamp,
    fleet: &mut Fleet<'_>,
) -> Option<Shift> {
    let graded = evidence::graded(spec, seen, memory, now);
    failover::decide(spec, seen, &graded, memory, now, fleet)
}
