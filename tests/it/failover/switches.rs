//! What counts as a switch, and how often requests may move: at the start, at a primary that flaps, after the limit.

use plimsoll_api::{FailoverCode, FailoverReason, FailoverState as State, KpiState};
use plimsoll_engine::{Capacity, ManualOverride};

use super::world::{B, World, away, quick, shop};

/// Both sides are being rolled out: so many replicas of each are ready, half a second after the other.
fn roll_out(world: &mut World, ready: &[(i32, i32)]) {
    for (primary, standby) in ready {
        world.ready = *primary;
        world.fars[0].seen.capacity = Some(Capacity { ready: *standby, own: 1, most: 20 });
        world.look();
        world.millis += 500;
    }
}

#[test]
fn a_primary_that_was_never_ready_is_not_left_for_errors() {
    let mut world = World::young(quick());
    (world.ready, world.errors) = (0, (KpiState::Fresh, 1.0));
    world.run(60_000);
    world.stands(State::Suspect, FailoverCode::PrimaryFailing, 0);
    assert!(world.last.as_ref().unwrap().reason.to_string().contains("ready yet"));
    // Once one of them has been ready, the same errors are reason enough.
    world.ready = 1;
    world.until(State::Shifting, 20_000);
}

#[test]
fn a_start_of_both_sides_spends_no_switch_and_ends_on_the_primary() {
    let mut world = World::young(quick());
    world.fars.truncate(1);
    world.fars[0].pace = i64::MAX;
    roll_out(
        &mut world,
        &[(0, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    );
    assert_eq!(
        world.last_written.as_ref().unwrap().active,
        "b",
        "the one replica that was ready is not any more"
    );
    roll_out(&mut world, &[(1, 0); 20]);
    roll_out(&mut world, &[(0, 0), (0, 0), (0, 0), (0, 0), (1, 0), (2, 1), (3, 1), (5, 1), (8, 1), (10, 1)]);
    assert_eq!(
        world.last_written.as_ref().unwrap().switches.len(),
        0,
        "nobody served anything: {:?}",
        world.moves
    );
    world.until(State::Primary, 20_000);
    assert_eq!(world.last_written.as_ref().unwrap().switches.len(), 0);
}

#[test]
fn replicas_that_were_wanted_and_never_ready_are_no_failure_after_a_return() {
    let mut world = World::young(quick());
    world.ready = 1;
    world.run(20_000);
    world.ready(0);
    world.until(State::Standby, 3000);
    assert_eq!(world.last_written.as_ref().unwrap().backends[0].replicas, 10, "the standby is asked for all");
    world.trouble(0, Some("its checks fail"));
    world.ready = 1;
    world.run(20_000);
    world.stands(State::Primary, FailoverCode::PrimaryServes, 0);
    assert_eq!(world.moves.len(), 2, "one of ten is what was ready before: {:?}", world.moves);
}

#[test]
fn whatever_was_spent_a_primary_that_is_well_gets_its_requests_back() {
    let mut world = World::new(shop(B, "return: {for: 5s}, maxSwitchesPerHour: 2"));
    for count in 1..=2 {
        world.errors = (KpiState::Fresh, 0.3);
        world.until(State::Standby, 60_000);
        world.errors = (KpiState::Fresh, 0.0);
        world.until(State::Returning, 15_000);
        world.until(State::Primary, 40_000);
        assert_eq!(world.last_written.as_ref().unwrap().switches.len(), count);
    }
    // Then one that fails in part keeps them, as the limit says; one that serves nothing does not.
    world.errors = (KpiState::Fresh, 0.3);
    world.until(State::Held, 20_000);
    world.run(60_000);
    world.stands(State::Held, FailoverCode::SwitchLimit, 0);
    let reason = &world.last.as_ref().unwrap().reason;
    assert!(matches!(reason, FailoverReason::SwitchLimit { switches: 2, most: 2, .. }), "{reason:?}");
    world.ready(0);
    world.until(State::Standby, 3000);
}

#[test]
fn who_fails_while_requests_come_back_is_left_whatever_was_spent() {
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
fn one_that_flaps_stays_at_the_standby_twice_as_long_each_time() {
    let mut world = World::new(quick());
    for _ in 0..45 {
        world.ready(0);
        world.run(20_000);
        world.ready(10);
        world.run(20_000);
    }
    let left: Vec<i64> = world.moves.iter().filter(|(_, to)| to == "b").map(|(at, _)| *at).collect();
    // At least 5 s, 10 s, … 1280 s: the ninth stay is longer than half an hour. Without that there would be 45.
    assert!((4..=9).contains(&left.len()), "{:?}", world.moves);
    world.run(3_600_000);
    world.stands(State::Primary, FailoverCode::PrimaryServes, 0);
}

#[test]
fn orders_start_the_count_anew() {
    let mut world = away(quick());
    world.ready(10);
    world.manual_override = Some(ManualOverride::To("primary".to_owned()));
    world.run(60_000);
    assert_eq!(world.last_written.as_ref().unwrap().switches.len(), 0);
}
