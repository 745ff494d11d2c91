//! The rules of the engine, from a user's YAML to the result that the user sees.

use std::collections::BTreeMap;

use plimsoll_api::{DecisionCode, DecisionCode::*, DecisionReason, DecisionStep, KpiState, SelectPolicy};
use plimsoll_engine::{
    Decision, Memory, Observation, Past, Pod, Pods, Sample, Value, alone, past_proposals, turn,
};

use super::fixtures::{Driven, fresh};

const SHOP: &str = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 2
maxReplicas: 20
kpis:
- {name: load, type: Load, query: l, perReplica: "100"}
- {name: latency, type: Objective, query: q, atMost: "0.25"}
"#;

fn codes(decision: &Decision) -> Vec<DecisionCode> {
    decision.reasons.iter().map(DecisionStep::code).collect()
}

#[test]
fn a_rise_is_followed_immediately_and_a_fall_after_the_window() {
    let mut shop = Driven::new(SHOP, 2);
    shop.look(0, &[("load", fresh(200.0)), ("latency", fresh(0.1))]);
    let up = shop.look(15, &[("load", fresh(1150.0)), ("latency", fresh(0.1))]);
    assert_eq!((up.replicas, up.bound_by), (12, LoadProposal), "{up:?}");
    let mut last = up;
    for _ in 0..19 {
        last = shop.look(15, &[("load", fresh(300.0)), ("latency", fresh(0.1))]);
    }
    assert_eq!((last.replicas, last.bound_by), (12, ScaleDownStabilized));
    let down = shop.look(15, &[("load", fresh(300.0)), ("latency", fresh(0.1))]);
    assert_eq!(
        (down.replicas, codes(&down).last()),
        (3, Some(&ScaledDown)),
        "300 s after the last high proposal"
    );
}

#[test]
fn without_fresh_samples_there_is_no_scale_down_until_a_window_later() {
    let mut shop = Driven::new(SHOP, 10);
    let calm = [("load", fresh(100.0)), ("latency", fresh(0.1))];
    for state in [KpiState::Stale, KpiState::Empty, KpiState::Partial, KpiState::NaN, KpiState::Error] {
        let mut outage = shop_copy(&shop);
        for _ in 0..100 {
            let bad = Sample { value: Some(Value::Single(0.0)), ..Sample::unusable(state, "x") };
            let held = outage.look(15, &[("load", bad), ("latency", fresh(0.1))]);
            assert_eq!((held.replicas, held.has(KpiNotFresh)), (10, true), "{state:?}");
        }
        let back = outage.look(15, &calm);
        assert_eq!(back.replicas, 10, "samples after an outage have no immediate effect");
    }
    shop.spec.kpis[0].empty_is_zero = true;
    for _ in 0..30 {
        shop.look(15, &[("load", Sample::unusable(KpiState::Empty, "x")), ("latency", fresh(0.1))]);
    }
    assert_eq!(shop.replicas, 2, "onEmpty: Zero");
}

fn shop_copy(shop: &Driven) -> Driven {
    Driven { spec: shop.spec.clone(), memory: shop.memory.clone(), ..*shop }
}

#[test]
fn after_a_scale_up_the_next_turn_is_sooner() {
    let mut shop = Driven::new(SHOP, 5);
    let calm = shop.look(15, &[("load", fresh(500.0)), ("latency", fresh(0.1))]);
    assert_eq!(calm.next_look.as_secs_f64(), 15.0);
    let raised = shop.look(15, &[("load", fresh(900.0)), ("latency", fresh(0.1))]);
    assert_eq!((raised.replicas, raised.next_look.as_secs_f64()), (9, 3.75));
    let calm = shop.look(4, &[("load", fresh(900.0)), ("latency", fresh(0.1))]);
    assert_eq!(calm.next_look.as_secs_f64(), 15.0);
}

#[test]
fn a_partial_sample_can_scale_up() {
    let mut shop = Driven::new(SHOP, 5);
    let half = Sample { state: KpiState::Partial, ..fresh(900.0) };
    assert_eq!(shop.look(15, &[("load", half), ("latency", fresh(0.1))]).replicas, 9);
}

#[test]
fn a_sample_with_half_of_its_targets_is_partial() {
    let mut shop = Driven::new(SHOP, 10);
    let load = |value, targets| Sample { targets: Some(targets), ..fresh(value) };
    for _ in 0..6 {
        shop.look(15, &[("load", load(1000.0, 10)), ("latency", fresh(0.1))]);
    }
    for _ in 0..60 {
        let held = shop.look(15, &[("load", load(500.0, 5)), ("latency", fresh(0.1))]);
        assert_eq!(held.replicas, 10);
        assert_eq!(held.kpis[0].state, KpiState::Partial);
    }
}

#[test]
fn a_few_missing_targets_count_with_the_load_of_the_others() {
    let mut shop = Driven::new(SHOP, 10);
    shop.spec.scale_down.window = jiff::SignedDuration::ZERO;
    let reach = jiff::SignedDuration::from_secs(10);
    let load = |value, targets| Sample { targets: Some(targets), reach, ..fresh(value) };
    let mut look = |value, targets| shop.look(1, &[("load", load(value, targets)), ("latency", fresh(0.1))]);
    for _ in 0..6 {
        look(1000.0, 10);
    }
    let held = look(850.0, 8);
    assert_eq!((held.replicas, held.kpis[0].state), (10, KpiState::Fresh), "1062 with the two: {held:?}");
    let reason = held.reasons.iter().find(|reason| reason.code() == WithinTolerance).unwrap();
    let estimated = |reason: &DecisionReason| match reason {
        DecisionReason::WithinTolerance { value, estimate, .. } => Some((*value, *estimate)),
        _ => None,
    };
    assert_eq!(estimated(&reason.reason), Some((850.0, Some(1062.5))));
    for second in 1..10 {
        let held = look(850.0, 10);
        assert_eq!(held.replicas, 10, "after {second} s the gap is still in the range");
    }
    assert_eq!(look(850.0, 10).replicas, 9, "the range is full again");
    assert_eq!(look(1500.0, 8).replicas, 15, "no replica is added for missing targets");
}

#[test]
fn a_rate_whose_range_includes_a_gap_does_not_scale_down() {
    let mut shop = Driven::new(SHOP, 10);
    shop.spec.scale_down.window = jiff::SignedDuration::ZERO;
    let load = |value, targets| Sample {
        targets: Some(targets),
        reach: jiff::SignedDuration::from_secs(10),
        ..fresh(value)
    };
    for _ in 0..6 {
        shop.look(15, &[("load", load(1000.0, 10)), ("latency", fresh(0.1))]);
    }
    shop.look(1, &[("load", load(500.0, 5)), ("latency", fresh(0.1))]);
    for second in 1..10 {
        // All targets are back, but their range fills second by second.
        let value = 500.0 + 50.0 * f64::from(second);
        let held = shop.look(1, &[("load", load(value, 10)), ("latency", fresh(0.1))]);
        assert_eq!((held.replicas, held.kpis[0].state), (10, KpiState::Fresh), "after {second} s");
    }
    for second in 1..10 {
        let held = shop.look(1, &[("load", load(700.0, 10)), ("latency", fresh(0.1))]);
        let held = (held.replicas, held.bound_by);
        assert_eq!(held, (10, ScaleDownStabilized), "a fall of {second} s may be due to missing targets");
    }
    let fallen = shop.look(1, &[("load", load(700.0, 10)), ("latency", fresh(0.1))]);
    assert_eq!(fallen.replicas, 7, "a fall that fills the range is followed");
}

#[test]
fn an_average_lowered_by_a_gap_is_not_a_burst() {
    let mut shop = Driven::new(SHOP, 10);
    shop.spec.scale_down.window = jiff::SignedDuration::ZERO;
    let reach = jiff::SignedDuration::from_secs(5);
    let load = |value, newest| Sample { newest: Some(newest), reach, ..fresh(value) };
    shop.look(1, &[("load", load(1000.0, 1000.0)), ("latency", fresh(0.1))]);
    shop.look(1, &[("load", Sample::unusable(KpiState::Error, "down")), ("latency", fresh(0.1))]);
    let back = shop.look(1, &[("load", load(300.0, 1150.0)), ("latency", fresh(0.1))]);
    assert_eq!((back.replicas, back.bound_by), (12, BurstProposal), "the newest scrape counts");
    let fallen = shop.look(5, &[("load", load(500.0, 500.0)), ("latency", fresh(0.1))]);
    assert_eq!(fallen.replicas, 5, "no burst hold: {fallen:?}");
}

#[test]
fn after_a_restart_there_is_no_scale_down_for_a_window() {
    let mut shop = Driven::new(SHOP, 12);
    let calm = [("load", fresh(100.0)), ("latency", fresh(0.1))];
    let first = shop.look(0, &calm);
    assert_eq!((first.replicas, first.bound_by), (12, ScaleDownStabilized));
    assert_eq!(shop.look(15, &calm).replicas, 12, "the past is unknown");
    let mut memory = Memory::rebuilt(past(&shop, &["load"], |_| Some(100.0)), []);
    let held = replicas_after_a_restart(&shop, &mut memory, &calm);
    let window = [[12; 19].as_slice(), &[2]].concat();
    assert_eq!(held, window, "the latency has no known history and may have needed them");
}

/// The results of range queries over the last 300 s: the value of each KPI by its age in seconds.
fn past(shop: &Driven, kpis: &[&str], value: impl Fn(i64) -> Option<f64>) -> Past {
    let at = |ago| Some((shop.now - jiff::SignedDuration::from_secs(ago), value(ago)?));
    let points = |name: &&str| ((*name).to_owned(), (0..=30).filter_map(|i| at(300 - i * 10)).collect());
    past_proposals(&shop.spec, &kpis.iter().map(points).collect::<Vec<_>>(), shop.now)
}

/// The replicas at each turn in the 300 s after a restart. The first turn lowers nothing.
fn replicas_after_a_restart(shop: &Driven, memory: &mut Memory, samples: &[(&str, Sample)]) -> Vec<i32> {
    let samples = samples.iter().map(|(name, sample)| ((*name).to_owned(), sample.clone()));
    let seen = Observation {
        replicas: 12,
        pods: Pods::Counted { ready: 12 },
        samples: samples.collect(),
        ..Observation::default()
    };
    let first = turn(&shop.spec, &seen, memory, shop.now, &mut alone).decision;
    assert_eq!(first.replicas, 12);
    let at = |look: i64| shop.now + jiff::SignedDuration::from_secs(15 * look);
    (1..=20).map(|look| turn(&shop.spec, &seen, memory, at(look), &mut alone).decision.replicas).collect()
}

const QUEUE: &str = r#"
scaleTargetRef: {kind: Deployment, name: worker}
maxReplicas: 20
kpis:
- {name: jobs, type: Load, query: j, perReplica: "100"}
- {name: mails, type: Load, query: m, perReplica: "100"}
"#;

#[test]
fn with_a_complete_history_of_loads_a_restart_does_not_extend_the_window() {
    let worker = Driven::new(QUEUE, 12);
    let calm = [("jobs", fresh(100.0)), ("mails", fresh(100.0))];
    let fallen = past(&worker, &["jobs", "mails"], |ago| Some(if ago > 100 { 1200.0 } else { 100.0 }));
    assert!(fallen.complete);
    let replicas = replicas_after_a_restart(&worker, &mut Memory::rebuilt(fallen, []), &calm);
    let window = [[12; 12].as_slice(), &[1; 8]].concat();
    assert_eq!(replicas, window, "until the last high proposal is 300 s old");
}

#[test]
fn after_a_restart_replicas_not_explained_by_the_history_are_kept_for_a_window() {
    let worker = Driven::new(QUEUE, 12);
    let calm = [("jobs", fresh(100.0)), ("mails", fresh(100.0))];
    let high = |ago: i64| Some(if ago > 200 { 1200.0 } else { 100.0 });
    let gap = |ago: i64| high(ago).filter(|_| !(100..150).contains(&ago));
    let ends = |ago: i64| high(ago).filter(|_| ago > 50);
    let begins = |ago: i64| high(ago).filter(|_| ago < 250);
    let negative = |ago: i64| if ago == 120 { Some(-1.0) } else { high(ago) };
    let cases = [
        ("a gap in the history", past(&worker, &["jobs", "mails"], gap)),
        ("a number that is not a load", past(&worker, &["jobs", "mails"], negative)),
        ("a history that ends too early", past(&worker, &["jobs", "mails"], ends)),
        ("a history that begins too late", past(&worker, &["jobs", "mails"], begins)),
        ("a KPI without a history", past(&worker, &["jobs"], high)),
        ("replicas above all proposals", past(&worker, &["jobs", "mails"], |_| Some(800.0))),
        ("no history at all", Past::default()),
    ];
    for (what, past) in cases {
        let replicas = replicas_after_a_restart(&worker, &mut Memory::rebuilt(past, []), &calm);
        assert_eq!(replicas, [[12; 19].as_slice(), &[1]].concat(), "{what}");
    }
}

#[test]
fn after_an_interruption_the_current_replicas_count_as_recommended() {
    let mut worker = Driven::new(QUEUE, 12);
    let calm = [("jobs", fresh(100.0)), ("mails", fresh(100.0))];
    for _ in 0..3 {
        worker.look(15, &[("jobs", fresh(1200.0)), ("mails", fresh(100.0))]);
    }
    worker.memory.interrupted();
    worker.now += jiff::SignedDuration::from_mins(30);
    let mut memory = worker.memory.clone();
    let replicas = replicas_after_a_restart(&worker, &mut memory, &calm);
    assert_eq!(replicas, [[12; 19].as_slice(), &[1]].concat());
}

#[test]
fn after_a_change_of_query_there_is_no_scale_down_for_a_window() {
    let mut worker = Driven::new(QUEUE, 10);
    let load = |value, targets| Sample { targets: Some(targets), ..fresh(value) };
    let calm = [("jobs", load(1000.0, 10)), ("mails", load(1000.0, 10))];
    for _ in 0..6 {
        worker.look(15, &calm);
    }
    worker.spec.kpis[0].query = "other".to_owned();
    worker.spec.kpis[1].name = "letters".to_owned();
    // Fewer exporters answer the new queries, but no target is missing.
    let changed = [("jobs", load(300.0, 2)), ("letters", load(300.0, 2))];
    for look in 0..20 {
        let held = worker.look(15, &changed);
        let states: Vec<_> = held.kpis.iter().map(|kpi| kpi.state).collect();
        assert_eq!(states, [KpiState::Fresh; 2], "look {look}");
        assert_eq!(held.replicas, 10, "look {look}");
    }
    assert_eq!(worker.look(15, &changed).replicas, 3);
}

#[test]
fn a_change_of_query_does_not_release_a_blocked_scale_down_immediately() {
    let mut worker = Driven::new(QUEUE, 10);
    worker.spec.scale_down.select = SelectPolicy::Disabled;
    let calm = [("jobs", fresh(100.0)), ("mails", fresh(100.0))];
    for _ in 0..30 {
        worker.look(15, &calm);
    }
    worker.spec.scale_down.select = SelectPolicy::Max;
    worker.spec.kpis[0].query = "other".to_owned();
    for _ in 0..20 {
        assert_eq!(worker.look(15, &calm).replicas, 10);
    }
    assert_eq!(worker.look(15, &calm).replicas, 1);
}

#[test]
fn the_newest_scrape_counts_if_it_is_far_above_the_average() {
    let mut shop = Driven::new(SHOP, 2);
    let burst = Sample { newest: Some(900.0), ..fresh(300.0) };
    let up = shop.look(15, &[("load", burst), ("latency", fresh(0.1))]);
    assert_eq!((up.replicas, up.bound_by), (9, BurstProposal));
    let noise = Sample { newest: Some(420.0), ..fresh(300.0) };
    let mut calm = Driven::new(SHOP, 3);
    assert_eq!(
        calm.look(15, &[("load", noise), ("latency", fresh(0.1))]).replicas,
        3,
        "one scrape of 1.4 times is noise"
    );
}

#[test]
fn a_burst_above_the_capacity_keeps_the_replicas_for_a_minute() {
    let mut shop = Driven::new(SHOP, 2);
    shop.spec.scale_down.window = jiff::SignedDuration::ZERO;
    shop.look(15, &[("load", fresh(200.0)), ("latency", fresh(0.1))]);
    let burst = Sample { newest: Some(900.0), ..fresh(300.0) };
    assert_eq!(shop.look(15, &[("load", burst), ("latency", fresh(0.1))]).replicas, 9);
    for _ in 0..3 {
        let held = shop.look(15, &[("load", fresh(200.0)), ("latency", fresh(0.1))]);
        assert_eq!((held.replicas, held.bound_by), (9, HeldForBurst));
    }
    assert_eq!(shop.look(15, &[("load", fresh(200.0)), ("latency", fresh(0.1))]).replicas, 2);
    let harmless = Sample { newest: Some(150.0), ..fresh(50.0) };
    shop.look(15, &[("load", harmless), ("latency", fresh(0.1))]);
    assert_eq!(shop.replicas, 2, "a burst within the capacity has no hold");
}

#[test]
fn a_rise_confirmed_by_three_scrapes_counts_before_the_average_follows() {
    let mut shop = Driven::new(SHOP, 10);
    let mut replicas = Vec::new();
    for (average, newest) in [(1000.0, 1000.0), (1030.0, 1500.0), (1060.0, 1500.0), (1100.0, 1500.0)] {
        let sample = Sample { newest: Some(newest), ..fresh(average) };
        replicas.push(shop.look(5, &[("load", sample), ("latency", fresh(0.1))]).replicas);
    }
    assert_eq!(replicas, [10, 10, 10, 15]);
}

#[test]
fn an_objective_raises_replicas_while_that_helps() {
    let mut shop = Driven::new(SHOP, 4);
    let at = |latency| [("load", fresh(400.0)), ("latency", fresh(latency))];
    shop.look(0, &at(0.1));
    let raised = shop.look(15, &at(0.5));
    assert_eq!((raised.replicas, raised.bound_by), (8, ObjectiveBreached));
    shop.ready = 4;
    assert!(shop.look_as_it_is(15, &at(0.5)).has(ObjectiveSettling), "starting replicas get time");
    let settling = shop.look(15, &at(0.4));
    assert_eq!((settling.replicas, settling.bound_by), (8, ObjectiveSettling));
    let again = shop.look(60, &at(0.35));
    assert_eq!((again.replicas, again.bound_by), (12, ObjectiveBreached), "it helped, but not enough");
    shop.look(15, &at(0.24));
    for _ in 0..40 {
        assert_eq!(shop.look(15, &at(0.24)).replicas, 12, "no scale-down near the limit");
    }
    for _ in 0..22 {
        shop.look(15, &at(0.1));
    }
    assert_eq!(shop.replicas, 4);
}

#[test]
fn an_objective_stops_raising_without_effect_and_reports_it() {
    let mut shop = Driven::new(SHOP, 4);
    let broken = [("load", fresh(400.0)), ("latency", fresh(2.0))];
    let mut most = 0;
    let mut decision = shop.look(0, &broken);
    for _ in 0..30 {
        decision = shop.look(15, &broken);
        most = most.max(decision.replicas);
    }
    assert!(decision.has(ScalingIneffective), "{decision:?}");
    assert_eq!(most, 16, "two raises, each at most a doubling");
    for _ in 0..12 {
        decision = shop.look(15, &broken);
    }
    assert_eq!(decision.replicas, 4, "replicas added without effect are removed, the others stay");
}

#[test]
fn a_raise_blocked_by_max_replicas_is_not_ineffective() {
    let mut shop = Driven::new(SHOP, 20);
    for _ in 0..40 {
        let decision = shop.look(15, &[("load", fresh(2000.0)), ("latency", fresh(2.0))]);
        assert!(!decision.has(ScalingIneffective));
        assert_eq!(decision.bound_by, MaxReplicas);
    }
}

#[test]
fn scales_to_zero_and_back_in_one_write() {
    let yaml = r#"
scaleTargetRef: {kind: Deployment, name: worker}
minReplicas: 0
maxReplicas: 50
behavior: {scaleUp: {policies: [{type: Percent, value: 100, periodSeconds: 15}]}, scaleDown: {stabilizationWindowSeconds: 60}}
kpis:
- {name: jobs, type: Load, query: q, perReplica: "10"}
- {name: cpu, type: Utilization, query: c, target: "0.5"}
"#;
    let mut worker = Driven::new(yaml, 1);
    for _ in 0..6 {
        worker.look(15, &[("jobs", fresh(0.0)), ("cpu", fresh(0.01))]);
    }
    assert_eq!(worker.replicas, 0, "the usage of an idle process does not keep it");
    let empty = Sample::unusable(KpiState::Empty, "no replicas");
    let up = worker.look(15, &[("jobs", fresh(20.0)), ("cpu", empty.clone())]);
    assert_eq!(up.replicas, 2, "200 % of one replica, since a percentage of 0 is 0");
    worker.spec.scale_up.policies.clear();
    worker.replicas = 0;
    assert_eq!(worker.look(15, &[("jobs", fresh(333.0)), ("cpu", empty)]).replicas, 34);
}

#[test]
fn a_schedule_raises_the_minimum_and_triggers_a_turn_at_its_start() {
    let yaml = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 1
maxReplicas: 40
period: 10m
schedule: [{name: sale, timeZone: Europe/Berlin, start: "0 8 * * 5", duration: 2h, minReplicas: 20}]
"#;
    let mut shop = Driven::new(yaml, 1);
    shop.now = "2026-11-27T06:55:00Z".parse().unwrap();
    let before = shop.look(0, &[]);
    assert_eq!((before.replicas, before.next_look.as_secs()), (1, 300));
    let during = shop.look(300, &[]);
    assert_eq!((during.replicas, during.bound_by), (20, ScheduleFloor));
    shop.look(7199, &[]);
    assert_eq!(shop.replicas, 20);
    shop.look(1, &[]);
    assert_eq!(shop.look(300, &[]).replicas, 1, "a window after its end");
}

#[test]
fn limits_apply_to_every_proposal() {
    let mut shop = Driven::new(SHOP, 2);
    let up = shop.look(15, &[("load", fresh(1e12)), ("latency", fresh(0.1))]);
    assert_eq!((up.replicas, up.bound_by, up.proposed), (20, MaxReplicas, i32::MAX));
    shop.replicas = 1;
    let raised =
        shop.look(15, &[("load", Sample::unusable(KpiState::Error, "down")), ("latency", fresh(0.1))]);
    assert!(raised.replicas >= 2, "minReplicas applies without fresh samples");
}

#[test]
fn modes_observe_and_paused_report_without_scaling() {
    for (mode, code) in [("Observe", Observing), ("Paused", Paused)] {
        let mut shop = Driven::new(&format!("mode: {mode}\n{SHOP}"), 2);
        let decision = shop.look(15, &[("load", fresh(900.0)), ("latency", fresh(0.1))]);
        assert_eq!((decision.replicas, codes(&decision).last()), (9, Some(&code)));
        assert_eq!(shop.replicas, 2);
    }
}

#[test]
fn surge_and_starting_pods_do_not_inflate_the_replicas() {
    let yaml = r#"
scaleTargetRef: {kind: Deployment, name: shop}
maxReplicas: 100
kpis: [{name: cpu, type: Utilization, query: q, target: "0.5"}]
"#;
    let shop = Driven::new(yaml, 10);
    let pod = |index: i32, ready| Pod { name: format!("p{index}"), ready, starting: !ready };
    // A rollout: ten old pods at their target, five new ones that use a core each while they start.
    let pods: Vec<_> = (0..10).map(|i| pod(i, true)).chain((10..15).map(|i| pod(i, false))).collect();
    let usage = (0..15).map(|i| (format!("p{i}"), if i < 10 { 0.5 } else { 1.0 })).collect();
    let cpu = Sample { value: Some(Value::ByPod(usage)), ..fresh(0.0) };
    let seen = Observation {
        replicas: 10,
        pods: Pods::Listed(pods),
        samples: BTreeMap::from([("cpu".into(), cpu)]),
        ..Observation::default()
    };
    let mut memory = shop.memory.clone();
    for second in 0..60 {
        let now = shop.now + jiff::SignedDuration::from_secs(second);
        assert_eq!(turn(&shop.spec, &seen, &mut memory, now, &mut alone).decision.replicas, 10);
    }
}
