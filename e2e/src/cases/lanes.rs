//! Lanes decide which cases run at the same time.

use std::{panic::resume_unwind, thread::scope};

use super::{Case, Ended, Fixture, perform};

/// What may run in parallel with a case. Two cores start only few pods at a time: with two busy cases in parallel, or with a
/// third case, the machine itself would dominate the latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Runs in parallel with quiet cases: it starts many pods, or measures latencies.
    Busy,
    /// Runs in parallel with a busy case: it mostly waits.
    Quiet,
    /// Runs alone: it stops what all cases need (an operator, a node, the API server), or keeps the machine under load.
    Alone,
}

/// Runs the cases: the busy and the quiet lane in parallel, then the rest. The results are in the order of `cases`.
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
