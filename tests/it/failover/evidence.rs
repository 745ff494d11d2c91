//! KPIs as signs: unknown, empty, old, by pod.

use jiff::SignedDuration;
use plimsoll_api::{FailoverCode, FailoverReason, FailoverState as State, KpiState};
use plimsoll_engine::{Sample, Value, Volume, alone, turn};

use super::world::{World, at, away, quick};

#[test]
fn without_prometheus_nothing_moves() {
    for state in [KpiState::Error, KpiState::Stale, KpiState::Partial] {
        let mut world = World::new(quick());
        world.errors = (state, 0.9);
        world.run(300_000);
        world.assert_state(State::Frozen, FailoverCode::EvidenceUnknown, 0);
        let mut world = away(quick());
        world.errors = (state, 0.0);
        world.ready(10);
        world.run(300_000);
        world.assert_state(State::Frozen, FailoverCode::EvidenceUnknown, 100);
        let mut world = World::new(quick());
        world.errors = (KpiState::Fresh, 0.3);
        while world.weight("b") != 40 {
            world.step();
        }
        world.errors = (state, 0.0);
        world.run(300_000);
        world.assert_state(State::Frozen, FailoverCode::EvidenceUnknown, 40);
        world.errors = (KpiState::Fresh, 0.0);
        assert!(world.until(State::Primary, 60_000) > 5000);
    }
    let mut dead = World::new(quick());
    dead.errors = (KpiState::Error, 0.0);
    dead.ready(0);
    dead.until(State::Standby, 2000);
}

#[test]
fn a_sample_of_a_tenth_of_the_pods_moves_nothing() {
    let mut world = World::new(quick());
    world.targets = Some(10);
    world.run(120_000);
    (world.errors.1, world.targets) = (0.3, Some(1));
    world.run(60_000);
    world.assert_state(State::Frozen, FailoverCode::EvidenceUnknown, 0);
    world.targets = Some(10);
    world.until(State::Shifting, 60_000);
    world.run(3000);
    (world.errors.1, world.targets) = (0.0, Some(1));
    world.run(60_000);
    assert_eq!(world.state(), State::Frozen);
    assert!(world.weight("b") > 0, "the failing pods may be among the missing ones");
}

#[test]
fn old_bad_samples_do_not_count() {
    let mut world = World::new(quick());
    for _ in 0..2 {
        world.errors = (KpiState::Fresh, 0.3);
        world.until(State::Suspect, 20_000);
        world.run(1000);
        world.assert_state(State::Suspect, FailoverCode::PrimaryFailing, 0);
        world.errors = (KpiState::Empty, 0.0);
        world.run(900_000);
        world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    }
}

#[test]
fn a_utilization_by_pod_is_its_average() {
    let use_of_cpu = |each: f64, number: i64| {
        let pods = (0..10).map(|pod| (format!("checkout-{pod}"), each)).collect();
        Sample { value: Some(Value::ByPod(pods)), ..Sample::fresh(0.0, at(number * 1000)) }
    };
    let mut world = World::new(quick());
    for (number, each, state) in
        [(61, 0.1, State::Primary), (62, 0.1, State::Primary), (63, 0.3, State::Suspect)]
    {
        let mut seen = world.seen();
        seen.samples.insert("errors".to_owned(), use_of_cpu(each, number));
        let decision =
            turn(&world.spec, &seen, &mut world.memory, at(number * 1000), &mut alone).failover.unwrap();
        assert_eq!(decision.status.state, state, "{number}");
    }
}

#[test]
fn a_kpi_without_a_value_does_not_prevent_a_return() {
    for state in [KpiState::Empty, KpiState::NaN] {
        let mut world = away(quick());
        world.errors = (state, 0.0);
        world.ready(10);
        world.until(State::Primary, 60_000);
    }
}

#[test]
fn one_bad_scrape_is_one_sample_despite_jitter_of_its_time() {
    let mut world = World::new(quick());
    world.scrapes = (15_000, 80);
    world.run(60_000);
    world.millis = (world.millis / 15_000 + 1) * 15_000;
    world.errors = (KpiState::Fresh, 0.9);
    world.run(14_000);
    world.assert_state(State::Suspect, FailoverCode::PrimaryFailing, 0);
    world.errors = (KpiState::Fresh, 0.0);
    world.run(60_000);
    assert_eq!((world.state(), world.moves.len()), (State::Primary, 0), "{:?}", world.last);
    // Three bad scrapes are enough.
    world.errors = (KpiState::Fresh, 0.9);
    world.run(61_000);
    assert_eq!(world.state(), State::Standby, "{:?}", world.last);
}

#[test]
fn a_clock_set_back_delays_nothing() {
    let mut world = World::new(quick());
    world.millis -= 3_600_000;
    world.due = world.millis;
    world.ready(0);
    let left = world.until(State::Standby, 3_000);
    assert!(left <= 2_000, "{left} ms");
}

/// A quiet service with a range of 30 s: one failed request is an error ratio of 1 for half a minute.
fn one_failed_request(volume: Volume) -> World {
    let mut world = World::new(quick());
    world.reach = SignedDuration::from_secs(30);
    (world.errors, world.volume) = ((KpiState::Empty, 0.0), Volume::Counted(Value::Single(0.0)));
    world.run(60_000);
    (world.errors, world.volume) = ((KpiState::Fresh, 1.0), volume);
    world.run(30_000);
    (world.errors, world.volume) = ((KpiState::Empty, 0.0), Volume::Counted(Value::Single(0.0)));
    world.run(60_000);
    world
}

#[test]
fn one_failed_request_moves_nothing() {
    let world = one_failed_request(Volume::Counted(Value::Single(1.0)));
    assert_eq!((world.moves.len(), world.state()), (0, State::Primary), "{:?}", world.last);
    // The same without a count of requests: the event is in only one sample.
    let world = one_failed_request(Volume::Uncounted);
    assert_eq!((world.moves.len(), world.state()), (0, State::Primary), "{:?}", world.last);
}

#[test]
fn samples_with_overlapping_ranges_count_once() {
    let mut world = World::new(quick());
    world.reach = SignedDuration::from_secs(30);
    world.run(60_000);
    world.errors = (KpiState::Fresh, 0.3);
    let left = world.until(State::Shifting, 200_000);
    assert!((60_000..=120_000).contains(&left), "three ranges of 30 s, but left after {left} ms");
}

#[test]
fn an_error_ratio_of_too_few_requests_is_neither_bad_nor_good() {
    let few = Volume::Counted(Value::Single(99.0));
    let mut world = World::new(quick());
    (world.errors, world.volume) = ((KpiState::Fresh, 0.9), few.clone());
    world.run(120_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    let too_few = "errors is 0.9, above 0.2, but of 99 requests, below requestVolume 100";
    let reason = &world.last.as_ref().unwrap().reason;
    assert_eq!(*reason, FailoverReason::PrimaryServes { few: too_few.to_owned() });
    // With one more request it counts.
    world.volume = Volume::Counted(Value::Single(100.0));
    world.until(State::Shifting, 20_000);
    // It is not healthy either: a bad ratio of few requests starts no return, and stops a ramp at its step.
    (world.errors, world.volume) = ((KpiState::Fresh, 0.9), few);
    world.run(60_000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    world.errors = (KpiState::Fresh, 0.0);
    world.until(State::Returning, 60_000);
    world.errors = (KpiState::Fresh, 0.9);
    world.run(60_000);
    assert_eq!(world.last_written.as_ref().unwrap().state, State::Returning);
    world.errors = (KpiState::Fresh, 0.0);
    world.until(State::Primary, 60_000);
    // A failed count is unknown evidence and moves nothing.
    world.volume = Volume::Unknown("source \"default\" did not answer".to_owned());
    world.run(60_000);
    world.assert_state(State::Frozen, FailoverCode::EvidenceUnknown, 0);
}
