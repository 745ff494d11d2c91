//! A clock that is set back by a day: no waiting time ends later than if it had begun now.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use plimsoll_api::KpiState;
use plimsoll_engine::{Rotation, Sample, drain};

use super::{
    drain::{at, member},
    fixtures::{Driven, fresh},
    zones::{cut_off, even, replica},
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A Load without a scale-down window, and `more` below `spec`.
fn load(more: &str) -> String {
    format!(
        r#"
scaleTargetRef: {{kind: Deployment, name: shop}}
minReplicas: 2
maxReplicas: 50
behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
kpis:
- {{name: load, type: Load, query: l, perReplica: "100"}}
{more}
"#
    )
}

impl Driven {
    /// Seconds until there are `replicas`, with a turn every `every` seconds; `None` if it takes more than two hours.
    fn seconds_until(&mut self, replicas: i32, every: i64, samples: &[(&str, Sample)]) -> Option<i64> {
        let mut looks = (every..7200).step_by(usize::try_from(every).unwrap());
        looks.find(|_| self.look(every, samples).replicas == replicas)
    }
}

#[test]
fn a_clock_set_back_neither_blocks_scaling_nor_scales_down_immediately() {
    let yaml = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 2
maxReplicas: 50
behavior: {scaleUp: {stabilizationWindowSeconds: 60, policies: [{type: Pods, value: 10, periodSeconds: 60}]}}
kpis: [{name: load, type: Load, query: l, perReplica: "100"}]
"#;
    for back in [SignedDuration::from_mins(10), SignedDuration::from_hours(24)] {
        let mut shop = Driven::new(yaml, 10);
        for _ in 0..30 {
            shop.look(15, &[("load", fresh(1000.0))]);
        }
        shop.now -= back;
        let mut fallen = Driven { spec: shop.spec.clone(), memory: shop.memory.clone(), ..shop };
        for _ in 0..9 {
            shop.look(15, &[("load", fresh(1800.0))]);
        }
        assert_eq!(shop.replicas, 18, "raised after the window of 60 s, as without a clock change");
        for _ in 0..19 {
            assert_eq!(
                fallen.look(15, &[("load", fresh(200.0))]).replicas,
                10,
                "the window of 300 s restarts"
            );
        }
        fallen.look(15, &[("load", fresh(200.0))]);
        assert_eq!(fallen.look(15, &[("load", fresh(200.0))]).replicas, 2);
    }
}

#[test]
fn a_burst_hold_lasts_a_minute() {
    let mut shop = Driven::new(&load(""), 2);
    shop.look(15, &[("load", fresh(200.0))]);
    let burst = Sample { newest: Some(900.0), ..fresh(300.0) };
    assert_eq!(shop.look(15, &[("load", burst)]).replicas, 9);
    shop.now -= DAY;
    // The first turn detects the new time.
    assert_eq!(shop.seconds_until(2, 15, &[("load", fresh(200.0))]), Some(15 + 60));
}

#[test]
fn scrapes_later_than_the_clock_are_not_a_burst() {
    let mut shop = Driven::new(&load(""), 10);
    let newest = |newest, average| [("load", Sample { newest: Some(newest), ..fresh(average) })];
    for average in [1000.0, 1030.0, 1060.0, 1100.0] {
        shop.look(5, &newest(1500.0, average));
    }
    assert_eq!(shop.replicas, 15, "three consecutive scrapes");
    shop.now -= DAY;
    assert_eq!(shop.seconds_until(10, 5, &newest(1000.0, 1000.0)), Some(5 + 60));
}

#[test]
fn a_given_up_objective_is_retried_after_a_quarter_of_an_hour() {
    let objective = "- {name: latency, type: Objective, query: q, atMost: \"0.25\"}";
    let mut shop = Driven::new(&load(objective), 5);
    let broken = [("load", fresh(500.0)), ("latency", fresh(2.0))];
    let mut most = 0;
    for _ in 0..40 {
        most = most.max(shop.look(15, &broken).replicas);
    }
    assert_eq!((most, shop.replicas), (20, 5), "raised twice without effect, and given up");
    shop.now -= DAY;
    assert_eq!(shop.seconds_until(10, 15, &broken), Some(15 + 900));
}

#[test]
fn missing_targets_are_accepted_after_an_hour() {
    let mut shop = Driven::new(&load(""), 10);
    let targets = |value, targets| [("load", Sample { targets: Some(targets), ..fresh(value) })];
    for _ in 0..8 {
        shop.look(15, &targets(1000.0, 10));
    }
    for _ in 0..8 {
        assert_eq!(shop.look(15, &targets(500.0, 5)).kpis[0].state, KpiState::Partial);
    }
    shop.now -= DAY;
    assert_eq!(shop.seconds_until(5, 15, &targets(500.0, 5)), Some(15 + 3600));
}

/// While the range of an average includes a gap, it is too low to detect a burst, so no burst holds the replicas.
#[test]
fn an_average_after_a_gap_detects_no_burst_for_its_range() {
    let reach = SignedDuration::from_secs(5);
    let average = |average, newest| [("load", Sample { newest: Some(newest), reach, ..fresh(average) })];
    let mut shop = Driven::new(&load(""), 2);
    shop.look(1, &average(200.0, 200.0));
    shop.look(1, &[("load", Sample::unusable(KpiState::Error, "down"))]);
    shop.now -= DAY;
    for _ in 0..6 {
        assert_eq!(shop.look(1, &average(200.0, 200.0)).replicas, 2);
    }
    assert_eq!(shop.look(1, &average(300.0, 900.0)).replicas, 9);
    // The burst holds the replicas. Held replicas count as proposed for the range, the last time a second before the end of
    // the hold.
    assert_eq!(shop.seconds_until(2, 1, &average(200.0, 200.0)), Some(59 + 5));
}

#[test]
fn a_lost_zone_keeps_all_replicas_for_five_minutes() {
    let mut shop = Driven::new(&load(""), 10);
    for _ in 0..8 {
        shop.in_zones(15, &[("load", fresh(1000.0))], &even(5));
    }
    assert_eq!(shop.in_zones(7, &[("load", fresh(1000.0))], &cut_off(even(5))).replicas, 20);
    // The new ones started in zone a.
    let mut started = cut_off(even(5));
    started.replicas.extend((5..15).map(|number| replica(number, "a", true, Some(true))));
    shop.now -= DAY;
    let mut looks = (15..7200).step_by(15);
    let lowered = looks.find(|_| shop.in_zones(15, &[("load", fresh(1000.0))], &started).replicas < 20);
    assert_eq!((lowered, shop.replicas), (Some(15 + 300), 14), "a quarter of the replicas is lost");
}

#[test]
fn a_drain_takes_no_longer_than_its_timeout() {
    let timeout = SignedDuration::from_secs(30);
    let mut shop = Rotation {
        members: (0..4).map(|index| member(index, true)).collect(),
        balancers: vec![BTreeSet::new()],
        ..Rotation::default()
    };
    shop.draining = drain(&shop, 2, 4, timeout, at(DAY.as_secs())).draining;
    for (second, replicas) in [(0, 4), (29, 4), (30, 2)] {
        let next = drain(&shop, 2, 4, timeout, at(second));
        assert_eq!(next.replicas, replicas, "after {second} s: {next:?}");
        shop.draining = next.draining;
    }
}
