//! The normal number of scrape targets after a restart, from the recalled history.

use jiff::{SignedDuration, Timestamp};

use super::Memory;
use crate::{
    Change, Past,
    recall::{GIVEN_UP_AFTER, RETRY},
    targets::missing_targets,
};

/// Seconds between two numbers of the past.
const STEP: i64 = 30;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// Numbers of targets, each for so many minutes, the last until now.
fn past(phases: &[(u32, i64)]) -> Vec<(Timestamp, u32)> {
    let mut targets: Vec<u32> = Vec::new();
    for (count, minutes) in phases {
        targets.extend(std::iter::repeat_n(*count, usize::try_from(minutes * 60 / STEP).unwrap()));
    }
    let ago = |index: usize| SignedDuration::from_secs(i64::try_from(targets.len() - index).unwrap() * STEP);
    targets.iter().enumerate().map(|(index, count)| (now() - ago(index), *count)).collect()
}

/// How many targets a process misses that begins now, of `targets` that answer with `pods` pods.
fn missed(memory: &mut Memory, phases: &[(u32, i64)], targets: u32, pods: i32) -> Option<f64> {
    memory.recall("load", Ok(&past(phases)), pods, now());
    let kept = &mut memory.kpis.get_mut("load").unwrap().evidence;
    missing_targets(&mut kept.targets, f64::from(targets), f64::from(pods), now())
}

fn missed_at_once(phases: &[(u32, i64)], targets: u32, pods: i32) -> Option<f64> {
    missed(&mut Memory::default(), phases, targets, pods)
}

#[test]
fn a_hole_that_is_older_than_the_process_is_still_one() {
    assert_eq!(missed_at_once(&[(10, 61)], 10, 10), None);
    assert_eq!(missed_at_once(&[(10, 60), (5, 1)], 5, 10), Some(10.0));
    assert_eq!(missed_at_once(&[(10, 21), (5, 40)], 5, 10), Some(10.0));
    assert_eq!(missed_at_once(&[(5, 61)], 5, 10), None, "after an hour it is how things are");
}

#[test]
fn what_is_normal_is_no_peak() {
    assert_eq!(missed_at_once(&[(10, 30), (13, 8), (10, 23)], 10, 10), None, "the surge of a rollout");
    assert_eq!(missed_at_once(&[(20, 10), (10, 51)], 10, 10), None, "twice the pods, for ten minutes");
    assert_eq!(missed_at_once(&[(1, 61)], 1, 10), None, "an exporter of its own");
    assert_eq!(missed_at_once(&[], 5, 10), None, "nothing is known");
    assert_eq!(missed_at_once(&[(10, 0), (10, 1)], 5, 10), None, "less than a minute tells nothing");
}

#[test]
fn pods_that_came_and_went_meanwhile_are_no_hole() {
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
fn a_past_that_cannot_be_read_is_asked_for_again_and_given_up_after_five_minutes() {
    let (mut memory, failed) = (Memory::default(), || Err("source \"default\" is busy".to_owned()));
    memory.recall("load", failed(), 10, now());
    let doubt = |memory: &Memory| memory.kpis.get("load").unwrap().evidence.recall.doubt();
    let expected =
        "how many scrape targets are normal is not known yet: source \"default\" is busy".to_owned();
    assert_eq!(doubt(&memory), Some(expected.clone()));
    let at = |time: u32| now() + RETRY * i32::try_from(time).unwrap();
    for time in 1..GIVEN_UP_AFTER - 1 {
        memory.recall("load", failed(), 10, at(time));
    }
    assert_eq!(doubt(&memory), Some(expected));
    memory.recall("load", failed(), 10, at(GIVEN_UP_AFTER));
    assert_eq!(doubt(&memory), None);
}
