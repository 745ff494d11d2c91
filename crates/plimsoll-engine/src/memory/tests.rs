//! The normal number of scrape targets after a restart, from the recalled history.

use jiff::{SignedDuration, Timestamp};

use super::Memory;
use crate::{
    Change, Past,
    recall::{GIVEN_UP_AFTER, RETRY},
    targets::missing_targets,
};

/// Seconds between two past numbers.
const STEP: i64 = 30;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// Numbers of targets, each for a number of minutes, the last until now.
fn past(phases: &[(u32, i64)]) -> Vec<(Timestamp, u32)> {
    let mut targets: Vec<u32> = Vec::new();
    for (count, minutes) in phases {
        targets.extend(std::iter::repeat_n(*count, usize::try_from(minutes * 60 / STEP).unwrap()));
    }
    let ago = |index: usize| SignedDuration::from_secs(i64::try_from(targets.len() - index).unwrap() * STEP);
    targets.iter().enumerate().map(|(index, count)| (now() - ago(index), *count)).collect()
}

/// The expected number of targets if a new process misses some, when `targets` answer with `pods` pods.
fn missed(memory: &mut Memory, phases: &[(u32, i64)], targets: u32, pods: i32) -> Option<f64> {
    memory.recall("load", Ok(&past(phases)), pods, now());
    let kept = &mut memory.kpis.get_mut("load").unwrap().evidence;
    missing_targets(&mut kept.targets, f64::from(targets), f64::from(pods), now())
}

fn missed_at_start(phases: &[(u32, i64)], targets: u32, pods: i32) -> Option<f64> {
    missed(&mut Memory::default(), phases, targets, pods)
}

#[test]
fn targets_missing_since_before_the_start_are_detected() {
    assert_eq!(missed_at_start(&[(10, 61)], 10, 10), None);
    assert_eq!(missed_at_start(&[(10, 60), (5, 1)], 5, 10), Some(10.0));
    assert_eq!(missed_at_start(&[(10, 21), (5, 40)], 5, 10), Some(10.0));
    assert_eq!(missed_at_start(&[(5, 61)], 5, 10), None, "accepted after an hour");
}

#[test]
fn a_short_peak_is_not_the_normal_number() {
    assert_eq!(missed_at_start(&[(10, 30), (13, 8), (10, 23)], 10, 10), None, "the surge of a rollout");
    assert_eq!(missed_at_start(&[(20, 10), (10, 51)], 10, 10), None, "twice the pods, for ten minutes");
    assert_eq!(missed_at_start(&[(1, 61)], 1, 10), None, "a separate exporter");
    assert_eq!(missed_at_start(&[], 5, 10), None, "no history");
    assert_eq!(missed_at_start(&[(10, 0), (10, 1)], 5, 10), None, "less than a minute is too short");
}

#[test]
fn added_and_deleted_pods_are_not_missing_targets() {
    let changed = |minutes: i64, from, to| {
        let at = now() - SignedDuration::from_mins(minutes);
        Memory::rebuilt(Past::default(), [Change { at, from, to }])
    };
    let fewer = &[(10, 31), (5, 30)];
    assert_eq!(missed(&mut changed(30, 10, 5), fewer, 5, 5), None);
    assert_eq!(missed(&mut changed(30, 10, 5), fewer, 2, 5), Some(5.0));
    let more = &[(5, 31), (10, 30)];
    assert_eq!(missed(&mut changed(30, 5, 10), more, 10, 10), None);
    assert_eq!(missed(&mut changed(30, 5, 10), more, 5, 10), Some(10.0));
}

#[test]
fn a_failed_history_query_is_retried_and_given_up_after_five_minutes() {
    let (mut memory, failed) = (Memory::default(), || Err("source \"default\" is busy".to_owned()));
    memory.recall("load", failed(), 10, now());
    let doubt = |memory: &Memory| memory.kpis.get("load").unwrap().evidence.recall.doubt();
    let expected =
        "the normal number of scrape targets is not known yet: source \"default\" is busy".to_owned();
    assert_eq!(doubt(&memory), Some(expected.clone()));
    let at = |time: u32| now() + RETRY * i32::try_from(time).unwrap();
    for time in 1..GIVEN_UP_AFTER - 1 {
        memory.recall("load", failed(), 10, at(time));
    }
    assert_eq!(doubt(&memory), Some(expected));
    memory.recall("load", failed(), 10, at(GIVEN_UP_AFTER));
    assert_eq!(doubt(&memory), None);
}
