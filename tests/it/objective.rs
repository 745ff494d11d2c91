//! Response of an Objective to a breach: when it raises, gives up, and tries again.

use plimsoll_api::{DecisionCode::*, DecisionReason, DecisionStep, KpiState};
use plimsoll_engine::{Decision, Sample};

use super::fixtures::{Driven, fresh};

fn shop(more: &str) -> String {
    format!(
        r#"
scaleTargetRef: {{kind: Deployment, name: shop}}
minReplicas: 2
kpis:
- {{name: load, type: Load, query: l, perReplica: "100"}}
- {{name: latency, type: Objective, query: q, atMost: "0.25"}}
{more}
"#
    )
}

/// The number of the Objective's raise in a step.
fn attempt(step: &DecisionStep) -> Option<u32> {
    match step.reason {
        DecisionReason::ObjectiveBreached { attempt, .. } => Some(attempt),
        _ => None,
    }
}

/// Evaluates a load and a latency every 15 s for `seconds`. Returns the decisions with the elapsed seconds.
fn turns(
    service: &mut Driven,
    seconds: i64,
    load: impl Fn(i64) -> f64,
    latency: f64,
) -> Vec<(i64, Decision)> {
    let look = |at| (at, service.look(15, &[("load", fresh(load(at))), ("latency", fresh(latency))]));
    (0..seconds).step_by(15).map(look).collect()
}

/// The time of the first decision that fits.
fn when(decisions: &[(i64, Decision)], fits: impl Fn(&Decision) -> bool) -> Option<i64> {
    decisions.iter().find(|(_, decision)| fits(decision)).map(|(at, _)| *at)
}

#[test]
fn a_load_that_rises_steadily_does_not_silence_an_objective() {
    for (every, behavior) in [(45, ""), (30, "behavior: {scaleUp: {tolerance: \"0\"}}"), (90, "period: 30s")]
    {
        let mut service = Driven::new(&shop(&format!("maxReplicas: 200\n{behavior}")), 4);
        let ramp = |at: i64| 400.0 + 100.0 * (at / every) as f64;
        turns(&mut service, 300, ramp, 0.1);
        let broken = turns(&mut service, 1200, |at| ramp(at + 300), 1.0);
        let acted = when(&broken, |decision| decision.bound_by == ObjectiveBreached);
        assert!(acted.is_some_and(|at| at <= 120), "{every}: first raise after {acted:?} s");
    }
}

#[test]
fn a_raise_by_another_kpi_gets_time_to_take_effect() {
    let mut service = Driven::new(&shop("maxReplicas: 100"), 4);
    turns(&mut service, 60, |_| 400.0, 0.1);
    let step = turns(&mut service, 60, |_| 800.0, 0.5);
    assert!(step.iter().all(|(_, decision)| decision.replicas == 8), "{step:?}");
    assert_eq!(turns(&mut service, 30, |_| 800.0, 0.5)[0].1.bound_by, ObjectiveBreached);
}

#[test]
fn starting_replicas_are_waited_for_if_they_suffice() {
    let broken = [("load", fresh(800.0)), ("latency", fresh(0.5))];
    let bound_by = |serving: i32| {
        let mut service = Driven::new(&shop("maxReplicas: 100"), 4);
        turns(&mut service, 60, |_| 400.0, 0.1);
        service.look(15, &broken);
        assert_eq!(service.replicas, 8);
        service.ready = serving;
        (0..10).map(|_| service.look_as_it_is(15, &broken).bound_by).collect::<Vec<_>>()
    };
    assert!(
        bound_by(4).iter().all(|bound_by| *bound_by == ObjectiveSettling),
        "four serve, eight are needed"
    );
    assert!(bound_by(7).contains(&ObjectiveBreached), "seven serve, fourteen are needed");
}

#[test]
fn the_applied_part_of_a_limited_raise_is_judged() {
    let capped = |max: i32| format!("maxReplicas: {max}");
    let by_policy =
        "maxReplicas: 100\nbehavior: {scaleUp: {policies: [{type: Pods, value: 4, periodSeconds: 120}]}}";
    for (name, yaml) in
        [("6", capped(6)), ("9", capped(9)), ("18", capped(18)), ("policy", by_policy.to_owned())]
    {
        let mut service = Driven::new(&shop(&yaml), 5);
        turns(&mut service, 60, |_| 500.0, 0.1);
        let slow = turns(&mut service, 900, |_| 500.0, 2.0);
        let reported = when(&slow, |decision| decision.has(ScalingIneffective));
        assert!(reported.is_some_and(|at| at <= 600), "{name}: reported after {reported:?} s");
        assert_eq!(service.replicas, 5, "{name}: replicas added without effect are removed");
    }
}

#[test]
fn a_fully_blocked_raise_is_not_an_attempt() {
    let disabled = "maxReplicas: 100\nbehavior: {scaleUp: {selectPolicy: Disabled}}";
    let mut service = Driven::new(&shop(disabled), 5);
    let slow = turns(&mut service, 1200, |_| 500.0, 2.0);
    assert_eq!(when(&slow, |decision| decision.has(ScalingIneffective)), None);
}

#[test]
fn a_given_up_objective_is_retried_less_and_less_often() {
    let mut service = Driven::new(&shop("maxReplicas: 100"), 5);
    let day = turns(&mut service, 24 * 3600, |_| 500.0, 2.0);
    let begins = |pair: &&[(i64, Decision)]| {
        let raises = |decision: &Decision| decision.bound_by == ObjectiveBreached;
        let first = |decision: &Decision| decision.reasons.iter().any(|step| attempt(step) == Some(1));
        raises(&pair[1].1) && first(&pair[1].1) && !raises(&pair[0].1)
    };
    let tries: Vec<i64> = day.windows(2).filter(begins).map(|pair| pair[1].0).collect();
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 5, "{tries:?}");
    assert!(pauses.is_sorted() && pauses[1] >= pauses[0] * 3 / 2, "{pauses:?}");
    assert!((4 * 3600..5 * 3600).contains(pauses.last().unwrap()), "{pauses:?}");
}

#[test]
fn a_breach_after_a_quarter_of_an_hour_without_one_is_new() {
    let mut service = Driven::new(&shop("maxReplicas: 100"), 5);
    let given_up = turns(&mut service, 600, |_| 500.0, 2.0);
    assert!(when(&given_up, |decision| decision.has(ScalingIneffective)).is_some());
    turns(&mut service, 120, |_| 500.0, 0.1);
    let soon = turns(&mut service, 60, |_| 500.0, 2.0);
    assert!(when(&soon, |decision| decision.bound_by == ObjectiveBreached).is_none(), "the same breach");
    turns(&mut service, 1200, |_| 500.0, 0.1);
    let later = turns(&mut service, 60, |_| 500.0, 2.0);
    assert_eq!(when(&later, |decision| decision.bound_by == ObjectiveBreached), Some(0));
}

#[test]
fn a_partial_raise_is_judged_by_a_partial_effect() {
    let by_ten =
        "maxReplicas: 400\nbehavior: {scaleUp: {policies: [{type: Pods, value: 10, periodSeconds: 60}]}}";
    let mut service = Driven::new(&shop(by_ten), 100);
    turns(&mut service, 60, |_| 10_000.0, 0.1);
    for _ in 0..120 {
        // An overload: latency falls with each replica.
        let latency = 50.0 / f64::from(service.replicas);
        let decision = service.look(15, &[("load", fresh(10_000.0)), ("latency", fresh(latency))]);
        assert!(!decision.has(ScalingIneffective), "at {} replicas", service.replicas);
    }
    assert!(service.replicas >= 200, "{} replicas", service.replicas);
}

#[test]
fn a_given_up_breach_lowers_its_floor_to_replicas_that_sufficed_since() {
    let mut service = Driven::new(&shop("maxReplicas: 100"), 40);
    turns(&mut service, 60, |_| 4000.0, 0.1);
    let given_up = turns(&mut service, 300, |_| 4000.0, 2.0);
    assert!(when(&given_up, |decision| decision.has(ScalingIneffective)).is_some());
    for _ in 0..3 {
        turns(&mut service, 600, |_| 500.0, 0.1);
        assert_eq!(service.replicas, 5);
        let slow = turns(&mut service, 15, |_| 500.0, 2.0);
        assert!(slow[0].1.replicas <= 10, "one slow turn: {:?}", slow[0].1);
        turns(&mut service, 15, |_| 500.0, 0.1);
    }
}

#[test]
fn at_max_replicas_raises_without_total_effect_are_ineffective() {
    let mut service = Driven::new(&shop("maxReplicas: 18"), 9);
    turns(&mut service, 60, |_| 900.0, 0.1);
    turns(&mut service, 15, |_| 900.0, 2.0);
    assert_eq!(service.replicas, 18);
    // Noise that resembles an improvement of a tenth, once.
    turns(&mut service, 60, |_| 900.0, 1.75);
    let slow = turns(&mut service, 120, |_| 900.0, 2.0);
    assert!(when(&slow, |decision| decision.has(ScalingIneffective)).is_some(), "{slow:?}");
}

#[test]
fn a_night_without_requests_ends_a_breach() {
    let mut service = Driven::new(&shop("maxReplicas: 100"), 4);
    turns(&mut service, 60, |_| 400.0, 0.1);
    turns(&mut service, 60, |_| 400.0, 2.0);
    let silent = Sample::unusable(KpiState::NaN, "no requests");
    for _ in 0..240 {
        service.look(15, &[("load", fresh(0.0)), ("latency", silent.clone())]);
    }
    let morning = turns(&mut service, 15, |_| 400.0, 2.0);
    let attempt = morning[0].1.reasons.iter().find_map(attempt);
    assert_eq!(attempt, Some(1), "{:?}", morning[0].1);
}
