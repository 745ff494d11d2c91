//! Which cases run at the same time.

use std::{panic::resume_unwind, thread::scope};

use super::{Case, Ended, Fixture, perform};

/// What may run beside a case. Two cores start few pods at a time: with two busy cases at once, or with a third one beside
/// them, latencies would be those of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Quiet cases: it starts many pods, or measures latencies.
    Busy,
    /// A busy case: it mostly waits.
    Quiet,
    /// Nothing: it takes away what all cases need (an operator, a node, the API server), or goes on loading the machine.
    Alone,
}

/// Plays the cases: those of the busy lane and of the quiet one side by side, then the rest. The results have the order of `cases`.
pub fn play(cases: &[&'static Case], fixture: &Fixture) -> Vec<Ended> {
    let of = |lane: Lane| {
        let cases = cases.iter().copied().enumerate().filter(move |(_, case)| case.lane == lane);
        cases.map(|(place, case)| (place, perform(case, fixture))).collect::<Vec<_>>()
    };
    let mut ended = scope(|threads| {
        let lanes = [Lane::Busy, Lane::Quiet].map(|lane| threads.spawn(move || of(lane)));
        let ended = lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect::<Vec<_>>()
    });
    ended.extend(of(Lane::Alone));
    ended.sort_by_key(|(place, _)| *place);
    ended.into_iter().map(|(_, ended)| ended).collect()
}
