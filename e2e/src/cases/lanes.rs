//! Which cases run at the same time.

use std::{panic::resume_unwind, thread::scope};

use super::{Case, Ended, Theatre, perform};

/// What may run beside a case: at most one of each of the first three lanes. Two cores start few pods at a time: with two
/// busy cases at once, latencies would be those of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// It measures latencies, or starts many pods at once.
    Busy,
    /// It sends requests, and counts those that are lost.
    Quiet,
    /// It mostly waits: few pods, next to no requests.
    Light,
    /// Nothing may run beside it: it takes away what all cases need (an operator, a node, the API server).
    Alone,
}

/// Plays the cases: the first three lanes side by side, then the rest. The results have the order of `cases`.
pub fn play(cases: &[&'static Case], theatre: &Theatre) -> Vec<Ended> {
    let of = |lane: Lane| {
        let cases = cases.iter().copied().enumerate().filter(move |(_, case)| case.lane == lane);
        cases.map(|(place, case)| (place, perform(case, theatre))).collect::<Vec<_>>()
    };
    let mut ended = scope(|threads| {
        let lanes = [Lane::Busy, Lane::Quiet, Lane::Light].map(|lane| threads.spawn(move || of(lane)));
        let ended = lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect::<Vec<_>>()
    });
    ended.extend(of(Lane::Alone));
    ended.sort_by_key(|(place, _)| *place);
    ended.into_iter().map(|(_, ended)| ended).collect()
}
