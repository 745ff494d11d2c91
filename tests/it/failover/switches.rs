//! Counting and limiting switches: at the start, with a flapping primary, and after the limit.

use plimsoll_api::{FailoverCode, FailoverReason, FailoverState as State, KpiState};
use plimsoll_engine::{Capacity, ManualOverride};

use super::world::{B, World, away, quick, shop};

/// Rolls out both sides: the ready replicas of primary and standby at each half second.
fn roll_out(world: &mut World, ready: &[(i32, i32)]) {
    for (primary, standby) in ready {
        world.ready = *primary;
        world.fars[0].seen.capacity = Some(Capacity { ready: *standby, own: 1, most: 20 });
        world.look();
        world.millis += 500;
    }
}

#[test]
fn a_primary_that_has_never_been_ready_is_not_left_for_errors() {
    let mut world = World::young(quick());
    (world.ready, world.errors) = (0, (KpiState::Fresh, 1.0));
    world.run(60_000);
    world.assert_state(State::Suspect, FailoverCode::PrimaryFailing, 0);
    assert!(world.last.as_ref().unwrap().reason.to_string().contains("ready yet"));
    // Once a replica has been ready, the same errors suffice.
    world.ready = 1;
    world.until(State::Shifting, 20_000);
}

#[test]
fn a_start_of_both_sides_counts_no_switch_and_ends_at_the_primary() {
    let mut world = World::young(quick());
    world.fars.truncate(1);
    world.fars[0].pace = i64::MAX;
    roll_out(
        &mut world,
        &[(0, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    );
    assert_eq!(world.last_written.as_ref().unwrap().active, "b", "the only ready replica is lost");
    roll_out(&mut world, &[(1, 0); 20]);
    roll_out(&mut world, &[(0, 0), (0, 0), (0, 0), (0, 0), (1, 0), (2, 1), (3, 1), (5, 1), (8, 1), (10, 1)]);
    assert_eq!(
        world.last_written.as_ref().unwrap().switches.len(),
        0,
        "neither side served anything: {:?}",
        world.moves
    );
    world.until(State::Primary, 20_000);
    assert_eq!(world.last_written.as_ref().unwrap().switches.len(), 0);
}

#[test]
fn replicas_that_were_never_ready_are_not_expected_after_a_return() {
    let mut world = World::young(quick());
    world.ready = 1;
    world.run(20_000);
    world.ready(0);
    world.until(State::Standby, 3000);
    assert_eq!(world.last_written.as_ref().unwrap().backends[0].replicas, 10, "the standby is asked for all");
    world.trouble(0, Some("its checks fail"));
    world.ready = 1;
    world.run(20_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    assert_eq!(world.moves.len(), 2, "only one of ten was ready before: {:?}", world.moves);
}

#[test]
fn a_healthy_primary_gets_its_requests_back_after_any_number_of_switches() {
    let mut world = World::new(shop(B, "return: {for: 5s}, maxSwitchesPerHour: 2"));
    for count in 1..=2 {
        world.errors = (KpiState::Fresh, 0.3);
        world.until(State::Standby, 60_000);
        world.errors = (KpiState::Fresh, 0.0);
        world.until(State::Returning, 15_000);
        world.until(State::Primary, 40_000);
        assert_eq!(world.last_written.as_ref().unwrap().switches.len(), count);
    }
    // After the limit, a primary that fails in part keeps the requests; one that serves nothing does not.
    world.errors = (KpiState::Fresh, 0.3);
    world.until(State::Held, 20_000);
    world.run(60_000);
    world.assert_state(State::Held, FailoverCode::SwitchLimit, 0);
    let reason = &world.last.as_ref().unwrap().reason;
    assert!(matches!(reason, FailoverReason::SwitchLimit { switches: 2, most: 2, .. }), "{reason:?}");
    world.ready(0);
    world.until(State::Standby, 3000);
}

#[test]
fn a_primary_that_fails_during_a_return_is_left_despite_the_limit() {
    let mut world = World::new(shop(B, "return: {for: 5s}, maxSwitchesPerHour: 2"));
    for _ in 0..4 {
        world.errors = (KpiState::Fresh, 0.3);
        world.until(State::Standby, 60_000);
        world.errors = (KpiState::Fresh, 0.0);
        world.until(State::Returning, 60_000);
    }
    assert_eq!(world.last_written.as_ref().unwrap().switches.len(), 4);
}

#[test]
fn the_hold_of_a_flapping_primary_doubles_each_time() {
    let mut world = World::new(quick());
    for _ in 0..45 {
        world.ready(0);
        world.run(20_000);
        world.ready(10);
        world.run(20_000);
    }
    let left: Vec<i64> = world.moves.iter().filter(|(_, to)| to == "b").map(|(at, _)| *at).collect();
    // The holds are at least 5 s, 10 s, … 1280 s: the ninth is longer than half of the test. Without holds there would be 45
    // switches.
    assert!((4..=9).contains(&left.len()), "{:?}", world.moves);
    world.run(3_600_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
}

#[test]
fn a_manual_override_resets_the_count() {
    let mut world = away(quick());
    world.ready(10);
    world.manual_override = Some(ManualOverride::To("primary".to_owned()));
    world.run(60_000);
    assert_eq!(world.last_written.as_ref().unwrap().switches.len(), 0);
}
