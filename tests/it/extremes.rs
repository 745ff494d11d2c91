//! Extreme numbers and times: too large, too long, negative.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use plimsoll_api::{DecisionCode::*, KpiState};
use plimsoll_engine::{Sample, Value};
use proptest::prelude::*;

use super::fixtures::{Driven, fresh};

/// A service with one KPI and without a scale-down window.
fn of(kpi: &str) -> String {
    format!(
        r#"
scaleTargetRef: {{kind: Deployment, name: worker}}
minReplicas: 1
maxReplicas: 50
behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
kpis: [{kpi}]
"#
    )
}

fn load(per_replica: &str) -> String {
    of(&format!(r#"{{name: load, type: Load, query: l, perReplica: "{per_replica}"}}"#))
}

const CPU: &str = r#"
scaleTargetRef: {kind: Deployment, name: api}
minReplicas: 1
maxReplicas: 50
behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
kpis: [{name: cpu, type: Utilization, query: c, target: "0.6"}]
"#;

fn by_pod(numbers: &[f64]) -> Sample {
    let pods: BTreeMap<_, _> =
        numbers.iter().enumerate().map(|(pod, number)| (format!("p{pod}"), *number)).collect();
    Sample { value: Some(Value::ByPod(pods)), ..fresh(0.0) }
}

/// The replicas after a first turn without a sample and a turn with this one.
fn after(yaml: &str, replicas: i32, name: &str, sample: Sample) -> i32 {
    let mut service = Driven::new(yaml, replicas);
    let calm = Sample { value: None, ..Sample::unusable(KpiState::Error, "not yet") };
    service.look(0, &[(name, calm)]);
    service.look(15, &[(name, sample)]).replicas
}

#[test]
fn an_overflowing_quotient_asks_for_max_replicas() {
    for value in [2147483648.0, 1e12, 1e306, f64::MAX] {
        for per_replica in ["1m", "0.1", "1"] {
            assert_eq!(after(&load(per_replica), 50, "load", fresh(value)), 50, "{value} / {per_replica}");
            assert_eq!(after(&load(per_replica), 1, "load", fresh(value)), 50, "{value} / {per_replica}");
        }
    }
    for sample in [fresh(1e308), by_pod(&[1e308; 40]), by_pod(&[f64::MAX, f64::MAX, 0.0])] {
        assert_eq!(after(CPU, 40, "cpu", sample.clone()), 50, "{sample:?}");
    }
}

#[test]
fn above_the_target_no_replica_is_removed_while_others_are_not_ready() {
    for (ready, cpu) in [(5, 0.9), (5, 0.7), (1, 6.0), (9, 0.65)] {
        for sample in [fresh(cpu), by_pod(&vec![cpu; usize::try_from(ready).unwrap()])] {
            let mut service = Driven::new(CPU, 10);
            service.ready = ready;
            for _ in 0..40 {
                let decision = service.look_as_it_is(15, &[("cpu", sample.clone())]);
                assert!(decision.replicas >= 10, "{ready} ready at {cpu}: {decision:?}");
            }
        }
    }
}

#[test]
fn a_negative_number_is_an_error_and_is_shown() {
    for negative in [-4_500_000.0, -1.0, -0.5] {
        let mut service = Driven::new(&load("50"), 20);
        for _ in 0..60 {
            let decision = service.look(15, &[("load", fresh(negative))]);
            assert_eq!((decision.replicas, decision.kpis[0].state), (20, KpiState::Error));
            assert_eq!(decision.kpis[0].value, Some(negative));
            let reason = decision.reasons.iter().find(|reason| reason.code() == KpiNotFresh).unwrap();
            assert!(reason.to_string().contains(&negative.to_string()), "{reason:?}");
        }
        let mut service = Driven::new(CPU, 20);
        for _ in 0..60 {
            assert_eq!(service.look(15, &[("cpu", fresh(negative))]).replicas, 20);
        }
    }
    let mut service = Driven::new(&load("50"), 20);
    service.look(15, &[("load", fresh(-1e-12))]);
    assert_eq!(service.look(15, &[("load", fresh(-1e-12))]).replicas, 1, "a rounding error counts as zero");
}

#[test]
fn a_pod_with_a_negative_value_counts_as_missing() {
    let mut service = Driven::new(CPU, 4);
    service.look(15, &[("cpu", by_pod(&[0.6, 0.6, 0.6, -1e6]))]);
    assert_eq!(service.look(15, &[("cpu", by_pod(&[0.6, 0.6, 0.6, -1e6]))]).replicas, 4);
}

#[test]
fn a_single_sample_has_no_effect_at_any_period() {
    for (period, window) in [("10m", 300), ("5m", 300), ("1m", 30), ("10m", 60)] {
        let yaml = format!(
            r#"
scaleTargetRef: {{kind: Deployment, name: shop}}
minReplicas: 1
maxReplicas: 100
period: {period}
behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}
kpis: [{{name: load, type: Load, query: l, perReplica: "100"}}]
"#
        );
        let mut shop = Driven::new(&yaml, 50);
        let seconds = shop.spec.period.as_secs();
        for _ in 0..5 {
            shop.look(seconds, &[("load", fresh(5000.0))]);
        }
        assert_eq!(shop.look(seconds, &[("load", fresh(100.0))]).replicas, 50, "{period} {window}");
        shop.look(seconds, &[("load", fresh(100.0))]);
        shop.look(seconds, &[("load", fresh(100.0))]);
        assert_eq!(shop.replicas, 1, "{period} {window}");
    }
}

#[test]
fn a_range_of_more_than_an_hour_is_not_truncated() {
    let mut shop = Driven::new(&load("100"), 40);
    let with_range = |value| Sample { reach: SignedDuration::from_hours(3), ..fresh(value) };
    shop.look(60, &[("load", with_range(4000.0))]);
    for minute in 0..179 {
        assert_eq!(shop.look(60, &[("load", with_range(100.0))]).replicas, 40, "after {minute} min");
    }
    shop.look(120, &[("load", with_range(100.0))]);
    assert_eq!(shop.replicas, 1);
}

fn objective(limit: &str) -> String {
    of(&format!(r#"{{name: slow, type: Objective, query: q, atMost: "{limit}"}}"#))
}

/// The replicas for a Load with one of its ten scrape targets missing.
fn with_nine_of_ten_targets(yaml: &str, replicas: i32, value: f64) -> i32 {
    let mut service = Driven::new(yaml, replicas);
    let load = |value, targets| Sample { targets: Some(targets), ..fresh(value) };
    service.look(0, &[("load", load(0.0, 10))]);
    service.look(15, &[("load", load(value, 9))]).replicas
}

/// Any number, more often an extreme one, or one that needs a few replicas for some goal.
fn number() -> impl Strategy<Value = f64> {
    let edges = [0.0, f64::MIN_POSITIVE, 1e-9, 1e290, 1e300, 1e307, f64::MAX / 2.0, f64::MAX];
    let goals = [1e-9, 1e-3, 0.6, 3.0, 1e18];
    prop_oneof![
        any::<f64>(),
        prop::sample::select(edges.to_vec()),
        (prop::sample::select(goals.to_vec()), 0.0..60.0).prop_map(|(goal, replicas)| goal * replicas),
    ]
}

/// The smallest and the largest quantity of a goal, and some in between.
fn quantity() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("1n"), Just("1m"), Just("3"), Just("1E")]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// More load never asks for fewer replicas, anywhere in the range of an f64.
    #[test]
    fn monotone_over_all_numbers(low in number(), high in number(), per_replica in quantity(), start in 0..50i32) {
        let (low, high) = (low.abs().min(high.abs()), low.abs().max(high.abs()));
        prop_assume!(high.is_finite());
        let yaml = load(per_replica);
        for (yaml, name, start) in [(yaml.as_str(), "load", start), (CPU, "cpu", start.max(1))] {
            let replicas = |value| after(yaml, start, name, fresh(value));
            prop_assert!(replicas(low) <= replicas(high));
        }
        let by_pods = |value| after(CPU, 3, "cpu", by_pod(&[value, value, value]));
        prop_assert!(by_pods(low) <= by_pods(high));
        let nine_of_ten = |value| with_nine_of_ten_targets(&yaml, start, value);
        prop_assert!(nine_of_ten(low) <= nine_of_ten(high), "{} <= {}", nine_of_ten(low), nine_of_ten(high));
        prop_assert!(after(&yaml, start, "load", fresh(low)) <= nine_of_ten(low), "a missing target removes no replica");
    }

    /// A worse value of an Objective never asks for fewer replicas, whatever its limit.
    #[test]
    fn an_objective_is_monotone_over_all_numbers(low in number(), high in number(), limit in quantity(), start in 1..50i32) {
        prop_assume!(low.is_finite() && high.is_finite());
        let yaml = objective(limit);
        let replicas = |value| after(&yaml, start, "slow", fresh(value));
        prop_assert!(replicas(low.min(high)) <= replicas(low.max(high)));
        prop_assert!(replicas(low) >= start, "a value alone removes no replica");
    }

    /// The newest scrape never lowers the proposal.
    #[test]
    fn a_burst_is_monotone_over_all_numbers(average in number(), low in prop_oneof![number(), prop::num::f64::ANY], high in number(),
                                            per_replica in quantity(), start in 0..50i32) {
        prop_assume!(average.is_finite());
        let yaml = load(per_replica);
        let replicas = |newest| after(&yaml, start, "load", Sample { newest, ..fresh(average.abs()) });
        prop_assert!(replicas(None) <= replicas(Some(low)));
        if low.is_finite() && high.is_finite() {
            prop_assert!(replicas(Some(low.min(high))) <= replicas(Some(low.max(high))));
        }
    }
}
