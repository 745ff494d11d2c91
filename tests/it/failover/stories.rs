//! Scenarios with numbers.

use jiff::SignedDuration;
use plimsoll_api::{FailoverCode, FailoverReason, FailoverState as State, KpiState, SignRule};
use plimsoll_engine::{Capacity, ManualOverride};

use super::world::{B, C, World, away, quick, shop, shop_at_gateway, shop_in};

#[test]
fn a_dead_primary_is_left_within_two_seconds() {
    let mut world = World::new(quick());
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    world.ready(0);
    world.assert_state(State::Suspect, FailoverCode::PrimaryFailing, 0);
    assert!(world.until(State::Standby, 2000) >= 1000, "three samples");
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    let last_written = world.last_written.clone().unwrap();
    assert_eq!(
        (last_written.active.as_str(), last_written.backends[0].replicas, last_written.switches.len()),
        ("b", 10, 1)
    );
    assert!(world.last.unwrap().reason.to_string().contains("0 of 10"));
}

#[test]
fn a_degraded_primary_is_left_at_the_pace_of_the_standby() {
    let mut world = World::new(quick());
    world.errors = (KpiState::Fresh, 0.3);
    world.until(State::Shifting, 15_000 + 4000);
    world.assert_state(State::Shifting, FailoverCode::MovingToStandby, 0);
    assert_eq!(world.last_written.as_ref().unwrap().backends[0].replicas, 10, "replicas are asked for first");
    let mut before = 0;
    while world.state() == State::Shifting {
        let share = (world.fars[0].seen.capacity.unwrap().ready - 2) * 10;
        let weight = world.weight("b");
        assert!(weight <= share && weight >= before, "{before} -> {weight} with {share}");
        before = weight;
        world.step();
    }
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
}

#[test]
fn starting_stopping_or_replaced_replicas_are_not_a_failure() {
    let mut world = World::new(quick());
    for (replicas, ready) in
        [(4, 10), (4, 4), (40, 4), (40, 20), (40, 40), (40, 30), (40, 40), (4, 40), (4, 4)]
    {
        (world.replicas, world.ready) = (replicas, ready);
        world.look();
        world.run(20_000);
        world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    }
    for (replicas, ready) in [(0, 4), (0, 0), (5, 0), (5, 1), (5, 5)] {
        (world.replicas, world.ready) = (replicas, ready);
        world.look();
        world.run(20_000);
        world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    }
    assert!(world.moves.is_empty());
}

#[test]
fn requests_return_by_the_ramp_once_the_primary_has_the_replicas() {
    let mut world = away(shop(B, "return: {for: 60s}"));
    world.run(120_000);
    // The primary was scaled down without requests.
    (world.replicas, world.ready) = (1, 1);
    let took = world.until(State::Returning, 70_000);
    assert!(took >= 60_000, "after {took} ms");
    assert_eq!(
        (world.weight("b"), world.last.as_ref().unwrap().floor),
        (90, 5),
        "one replica is enough for 10 %"
    );
    world.run(120_000);
    world.assert_state(State::Returning, FailoverCode::MovingToPrimary, 90);
    assert!(world.last.as_ref().unwrap().reason.to_string().contains("1 of 5"));
    (world.replicas, world.ready) = (5, 5);
    world.run(1000);
    assert_eq!((world.weight("b"), world.last.as_ref().unwrap().floor), (50, 10));
    (world.replicas, world.ready) = (10, 10);
    world.run(28_000);
    assert_eq!(world.weight("b"), 50, "each step lasts 30 s");
    world.run(2500);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    let last_written = world.last_written.clone().unwrap();
    assert_eq!(
        (last_written.switches.len(), last_written.hold_until, last_written.backends[0].replicas),
        (1, None, 0)
    );
}

#[test]
fn a_relapse_during_the_ramp_moves_all_requests_away_and_doubles_the_hold() {
    let mut world = away(shop(B, "return: {for: 60s}, maxSwitchesPerHour: 6"));
    world.ready(10);
    world.until(State::Returning, 80_000);
    world.ready(3);
    assert!(world.until(State::Standby, 2000) <= 2000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    let last_written = world.last_written.clone().unwrap();
    let hold = last_written.hold_until.unwrap().0.duration_since(last_written.switches.last().unwrap().0);
    assert_eq!(hold, SignedDuration::from_secs(120));
    world.ready(10);
    world.run(110_000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    world.until(State::Returning, 15_000);
}

#[test]
fn after_a_return_only_new_samples_count() {
    let mut world = away(shop(B, "return: {for: 1s}"));
    world.run(15_000);
    world.ready(10);
    world.until(State::Returning, 10_000);
    world.ready(3);
    assert_eq!(world.state(), State::Returning, "one bad sample; earlier ones are dropped");
    assert!((1000..=2000).contains(&world.until(State::Standby, 2000)));
}

#[test]
fn a_lost_standby_is_left_for_the_next_or_for_the_primary() {
    let both = format!("{B}, {C}");
    let mut world = away(shop(&both, "return: {for: 60s}"));
    world.run(10_000);
    world.trouble(0, Some("its checks fail"));
    world.run(5000);
    assert_eq!((world.weight("b"), world.weight("c"), world.state()), (0, 100, State::Standby));
    let mut world = away(quick());
    world.trouble(0, Some("its checks fail"));
    world.run(10_000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    world.ready(3);
    world.run(5000);
    assert_eq!(world.weight("b"), 0, "three serving replicas are better than none");
    world.assert_state(State::Suspect, FailoverCode::NoStandbyReady, 0);
    let mut world = away(shop(B, "return: {for: 60s}"));
    world.ready(10);
    world.until(State::Returning, 70_000);
    world.trouble(0, Some("its checks fail"));
    world.run(3000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    assert_eq!(world.last_written.unwrap().switches.len(), 1, "a return is not a switch");
}

#[test]
fn requests_return_from_the_standby_that_has_them_despite_an_override() {
    let mut world = World::new(shop(&format!("{B}, {C}"), "return: {for: 5s}"));
    world.trouble(0, Some("its checks fail"));
    world.ready(0);
    world.run(4000);
    world.manual_override = Some(ManualOverride::To("b".to_owned()));
    world.run(4000);
    assert_eq!((world.weight("b"), world.weight("c")), (0, 100), "b can't take any");
    world.ready(10);
    world.run(60_000);
    world.manual_override = None;
    while world.weight("c") > 0 {
        world.step();
        assert_eq!(world.weight("b"), 0, "{:?}", world.last_written);
    }
    world.until(State::Primary, 60_000);
}

#[test]
fn without_a_usable_standby_requests_stay() {
    let mut world = World::new(quick());
    world.trouble(0, Some("its checks fail"));
    world.ready(0);
    world.run(10_000);
    world.assert_state(State::Suspect, FailoverCode::NoStandbyReady, 0);
    let decision = world.last.clone().unwrap();
    assert!(decision.reason.to_string().contains("its checks fail"));
    assert_eq!(decision.ready.code(), FailoverCode::StandbyNotReady);
    world.trouble(0, None);
    world.fars[0].seen.addresses.clear();
    world.run(1000);
    world.assert_state(State::Suspect, FailoverCode::NoStandbyReady, 0);
    assert!(world.last.as_ref().unwrap().ready.to_string().contains("address"));
    world.fars[0].seen.addresses = vec!["192.0.2.1:80".parse().unwrap()];
    world.run(1000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
}

#[test]
fn a_dead_primary_is_left_even_if_only_a_kpi_is_configured() {
    let mut spec = shop(B, "return: {for: 60s}");
    spec.failover.as_mut().unwrap().signs.retain(|sign| matches!(sign, SignRule::KpiAbove { .. }));
    let mut world = World::new(spec);
    world.errors = (KpiState::Empty, 0.0);
    world.run(10_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    world.ready(0);
    world.until(State::Standby, 2000);
}

#[test]
fn correlated_failures_hold_requests_but_a_dead_primary_is_left() {
    let mut world = World::new(quick());
    world.correlated_failures = true;
    world.errors = (KpiState::Fresh, 0.9);
    world.run(30_000);
    world.assert_state(State::Suspect, FailoverCode::FleetLimit, 0);
    world.ready(0);
    world.until(State::Standby, 2000);
}

#[test]
fn manual_overrides_move_freeze_and_reset_the_count() {
    let mut world = World::new(quick());
    world.manual_override = Some(ManualOverride::To("b".to_owned()));
    world.run(60_000);
    world.assert_state(State::Standby, FailoverCode::MovedByAnnotation, 100);
    world.manual_override = Some(ManualOverride::Freeze("audit".to_owned()));
    world.run(60_000);
    world.assert_state(State::Frozen, FailoverCode::FrozenByAnnotation, 100);
    assert!(world.last.as_ref().unwrap().reason.to_string().ends_with(": audit"));
    world.manual_override = Some(ManualOverride::To("unknown".to_owned()));
    world.run(60_000);
    world.assert_state(State::Frozen, FailoverCode::FrozenByAnnotation, 100);
    assert!(world.last.as_ref().unwrap().reason.to_string().contains("primary, b"));
    world.manual_override = Some(ManualOverride::To("primary".to_owned()));
    world.run(120_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    assert_eq!(
        world.last_written.as_ref().unwrap().acknowledged_override.as_deref(),
        Some("primary"),
        "the evidence decides again"
    );
    for _ in 0..3 {
        for to in ["b", "primary"] {
            world.manual_override = Some(ManualOverride::To(to.to_owned()));
            world.run(60_000);
        }
    }
    world.manual_override = None;
    world.ready(0);
    world.until(State::Standby, 2000);
}

#[test]
fn a_manual_override_between_standbys_drops_no_requests() {
    let both = format!("{B}, {C}");
    let mut world = away(shop(&both, "return: {for: 60s}"));
    world.run(20_000);
    world.manual_override = Some(ManualOverride::To("c".to_owned()));
    while world.weight("c") < 100 {
        world.step();
        assert_eq!(world.weight("b") + world.weight("c"), 100, "the primary is dead");
        let ready = world.fars[1].seen.capacity.unwrap().ready - 2;
        assert!(world.weight("c") <= ready * 10);
    }
    assert!(world.moves.len() == 2);
}

#[test]
fn in_return_mode_manual_requests_return_only_by_override() {
    let mut world = away(shop(B, "return: {for: 5s, mode: Manual}"));
    world.ready(10);
    world.run(600_000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    world.manual_override = Some(ManualOverride::To("primary".to_owned()));
    world.run(60_000);
    world.manual_override = None;
    world.run(60_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
}

#[test]
fn modes_observe_and_paused_move_nothing() {
    let mut world = World::new(shop_in("Observe", B, "return: {for: 5s}"));
    world.ready(0);
    world.run(10_000);
    world.assert_state(State::Suspect, FailoverCode::Observing, 0);
    for (mode, reason) in [("Observe", FailoverCode::Observing), ("Paused", FailoverCode::Paused)] {
        let mut world = away(quick());
        world.spec = shop_in(mode, B, "return: {for: 5s}");
        world.run(60_000);
        world.assert_state(State::Frozen, reason, 100);
        world.ready(10);
        world.run(600_000);
        world.assert_state(State::Frozen, reason, 100);
    }
}

#[test]
fn standbys_can_be_reordered_and_removed() {
    let mut world = away(shop(&format!("{B}, {C}"), "return: {for: 60s}"));
    world.spec = shop(&format!("{C}, {B}"), "return: {for: 60s}");
    world.run(4000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    world.spec = shop(C, "return: {for: 60s}");
    world.run(6000);
    assert_eq!((world.weight("c"), world.state()), (100, State::Standby), "the primary is dead");
}

#[test]
fn a_restart_continues_in_every_state() {
    let mut world = World::new(quick());
    world.ready(0);
    world.restart();
    world.until(State::Standby, 2000);
    world.restart();
    world.run(2000);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
    world.ready(10);
    world.restart();
    world.until(State::Returning, 10_000);
    world.restart();
    world.run(500);
    world.assert_state(State::Returning, FailoverCode::MovingToPrimary, 90);
    world.until(State::Primary, 20_000);
    world.errors = (KpiState::Fresh, 0.3);
    while world.weight("b") != 40 {
        world.step();
    }
    world.restart();
    world.run(1000);
    assert!((40..=50).contains(&world.weight("b")) && world.state() == State::Shifting);
    world.errors = (KpiState::Fresh, 0.0);
    world.restart();
    world.run(60_000);
    world.assert_state(State::Primary, FailoverCode::PrimaryServes, 0);
    assert_eq!((world.moves.len(), world.last_written.unwrap().switches.len()), (4, 2));
}

#[test]
fn a_standby_that_is_too_small_is_reported_and_gets_what_fits() {
    let mut world = World::new(quick());
    world.fars[0].seen.capacity = Some(Capacity { ready: 2, own: 2, most: 8 });
    world.errors = (KpiState::Fresh, 0.3);
    let decision = world.run(60_000);
    world.assert_state(State::Shifting, FailoverCode::MovingToStandby, 60);
    assert_eq!(decision.ready.code(), FailoverCode::StandbyNotReady);
    let why = "b: it can provide 6 replicas for this, but 10 are needed".to_owned();
    assert_eq!(decision.ready, FailoverReason::StandbyNotReady { why });
    world.ready(0);
    world.run(500);
    world.assert_state(State::Standby, FailoverCode::StandbyServes, 100);
}

#[test]
fn in_mode_observe_a_gateway_keeps_its_weights() {
    let mut world = away(shop_at_gateway("Auto", "return: {for: 5s}"));
    world.spec = shop_at_gateway("Observe", "return: {for: 5s}");
    world.ready(10);
    world.run(60_000);
    world.assert_state(State::Frozen, FailoverCode::Observing, 100);
}

#[test]
fn of_two_standbys_the_one_with_capacity_for_all_requests_is_chosen() {
    let mut world = World::new(shop(&format!("{B}, {C}"), "return: {for: 60s}"));
    world.has(0, 2, 8);
    let ready = world.look().ready;
    assert_eq!(ready, FailoverReason::StandbyReady { standby: "c".to_owned() });
    world.ready(0);
    world.run(5000);
    assert_eq!((world.weight("b"), world.weight("c")), (0, 100));
    let mut world = World::new(shop(&format!("{B}, {C}"), "return: {for: 60s}"));
    world.has(0, 2, 6);
    world.has(1, 2, 8);
    assert_eq!(world.look().ready.code(), FailoverCode::StandbyNotReady);
    world.ready(0);
    world.run(5000);
    assert_eq!((world.weight("b"), world.weight("c")), (0, 100), "without one, the larger standby");
}

#[test]
fn a_standby_whose_balancers_have_no_replicas_is_left() {
    let mut world = away(shop(&format!("{B}, {C}"), "return: {for: 60s}"));
    world.run(10_000);
    world.has(0, 0, 0);
    world.run(1000);
    assert_eq!(world.weight("b"), 100, "not immediately");
    world.run(5000);
    assert_eq!((world.weight("b"), world.weight("c")), (0, 100));
    world.has(1, 0, 0);
    world.run(10_000);
    assert_eq!(world.weight("c"), 100, "no backend has a replica");
    world.ready(1);
    world.run(3000);
    assert_eq!(world.last_written.as_ref().unwrap().active, "primary", "a serving replica is better");
}

#[test]
fn an_added_sign_starts_without_samples() {
    let mut world = World::new(quick());
    world.errors = (KpiState::Fresh, 0.3);
    world.run(1000);
    world.assert_state(State::Suspect, FailoverCode::PrimaryFailing, 0);
    let mut spec = quick();
    spec.failover.as_mut().unwrap().signs =
        vec![SignRule::KpiAbove { kpi: "errors".to_owned(), above: 0.25, volume: 100.0 }];
    world.spec = spec;
    world.run(1000);
    world.assert_state(State::Suspect, FailoverCode::PrimaryFailing, 0);
    world.run(3000);
    assert_ne!(world.last_written.as_ref().unwrap().active, "primary");
}
