//! In which order cases run, and which of them at the same time.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread::{Scope, scope},
};

use super::{Case, Ended, Theatre, perform};

/// Cases at a time. Most of a case is waiting, but what two cores can do sets the limit: with more lanes, latencies are
/// those of this machine.
const LANES: usize = 3;

/// Plays the cases: first, in lanes, those that others may run beside, then the rest one after the other. The results
/// have the order of `cases`.
pub fn play(cases: &[&'static Case], theatre: &Theatre) -> Vec<Ended> {
    let (alone, beside): (Vec<_>, Vec<_>) =
        cases.iter().copied().enumerate().partition(|(_, case)| case.alone);
    let left = Mutex::new(beside.into_iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane =
        || std::iter::from_fn(next).map(|(place, case)| (place, perform(case, theatre))).collect::<Vec<_>>();
    let mut ended: Vec<_> = scope(|threads: &Scope<'_, '_>| {
        let lanes: Vec<_> = (0..LANES).map(|_| threads.spawn(lane)).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    ended.extend(alone.into_iter().map(|(place, case)| (place, perform(case, theatre))));
    ended.sort_by_key(|(place, _)| *place);
    ended.into_iter().map(|(_, ended)| ended).collect()
}
