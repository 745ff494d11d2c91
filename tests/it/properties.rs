//! Properties that hold for every input.

use proptest::prelude::*;

use plimsoll_api::{DecisionCode, KpiState, Validated};
use plimsoll_engine::{Sample, Value};

use super::fixtures::{Driven, fresh, parse};

/// A spec with every kind of KPI and some behaviour.
fn specs() -> impl Strategy<Value = String> {
    let policies = prop_oneof![
        Just("[]"),
        Just("[{type: Pods, value: 4, periodSeconds: 60}]"),
        Just("[{type: Percent, value: 50, periodSeconds: 30}, {type: Pods, value: 1, periodSeconds: 15}]"),
    ];
    let select = prop_oneof![Just("Max"), Just("Min"), Just("Disabled")];
    (0..5i32, 1..40i32, policies.clone(), policies, select, 0..600i32).prop_map(
        |(min, more, up, down, select, window)| {
            format!(
                r#"
scaleTargetRef: {{kind: Deployment, name: x}}
minReplicas: {min}
maxReplicas: {}
behavior:
  scaleUp: {{policies: {up}}}
  scaleDown: {{policies: {down}, selectPolicy: {select}, stabilizationWindowSeconds: {window}}}
kpis:
- {{name: load, type: Load, query: a, perReplica: "10"}}
- {{name: cpu, type: Utilization, query: b, target: "0.6"}}
- {{name: slow, type: Objective, query: c, atMost: "0.5"}}
"#,
                min + more
            )
        },
    )
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..1000.0f64,
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(0.0), Just(f64::MAX), Just(1e-300)],
    ]
}

fn samples() -> impl Strategy<Value = Sample> {
    let state = prop_oneof![
        4 => Just(KpiState::Fresh),
        1 => prop_oneof![
            Just(KpiState::Stale), Just(KpiState::Empty), Just(KpiState::Partial), Just(KpiState::NaN), Just(KpiState::Error)
        ],
    ];
    let value = prop_oneof![
        3 => numbers().prop_map(|number| Some(Value::Single(number))),
        1 => proptest::collection::btree_map("p[0-9]", numbers(), 0..8).prop_map(|pods| Some(Value::ByPod(pods))),
        1 => Just(None),
    ];
    (state, value, proptest::option::of(numbers()), proptest::option::of(0..50u32))
        .prop_map(|(state, value, newest, targets)| Sample { state, value, newest, targets, ..fresh(0.0) })
}

fn turns() -> impl Strategy<Value = Vec<(i64, i32, [Sample; 3])>> {
    proptest::collection::vec((0..400i64, 0..60i32, [samples(), samples(), samples()]), 1..25)
}

fn named(samples: [Sample; 3]) -> Vec<(&'static str, Sample)> {
    ["load", "cpu", "slow"].into_iter().zip(samples).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Never outside the limits, never a panic, no scale-down without fresh samples or on the first turn.
    #[test]
    fn every_observation_is_safe(yaml in specs(), start in 0..60i32, turns in turns()) {
        let mut service = Driven::new(&yaml, start);
        let mut first = true;
        for (seconds, ready, samples) in turns {
            let before = service.replicas;
            service.ready = ready;
            let blind = samples.iter().any(|sample| sample.state != KpiState::Fresh);
            let decision = service.look_as_it_is(seconds, &named(samples));
            let (min, max) = (service.spec.min_replicas, service.spec.max_replicas);
            prop_assert!((min..=max).contains(&decision.replicas));
            if decision.replicas < before && before <= max {
                prop_assert!(!blind && !first, "{decision:?}");
            }
            first = false;
        }
    }

    /// More load never asks for fewer replicas.
    #[test]
    fn the_replicas_are_monotone_in_the_load(yaml in specs(), start in 0..40i32, loads in proptest::collection::vec(0.0..500.0f64, 1..10),
                        low in 0.0..500.0f64, more in 0.0..500.0f64) {
        let mut service = Driven::new(&yaml, start);
        let others = [("cpu", fresh(0.3)), ("slow", fresh(0.1))];
        let with = |load: f64| [vec![("load", fresh(load))], others.to_vec()].concat();
        for load in loads {
            service.look(15, &with(load));
        }
        let replicas = |load: f64| {
            let mut copy = Driven { spec: service.spec.clone(), memory: service.memory.clone(), ..service };
            copy.look(15, &with(load)).replicas
        };
        prop_assert!(replicas(low) <= replicas(low + more));
    }

    /// At a constant load the replicas settle and stay constant.
    #[test]
    fn the_replicas_settle_at_a_constant_load(yaml in specs(), start in 1..40i32, load in 0.0..500.0f64) {
        let mut service = Driven::new(&yaml, start);
        service.spec.scale_down.select = plimsoll_api::SelectPolicy::Max;
        let samples = [("load", fresh(load)), ("cpu", fresh(0.0)), ("slow", fresh(0.1))];
        for _ in 0..400 {
            service.look(15, &samples);
        }
        let settled = service.replicas;
        for _ in 0..100 {
            let decision = service.look(15, &samples);
            prop_assert_eq!(decision.replicas, settled);
            prop_assert_eq!(decision.reasons.last().unwrap().code(), DecisionCode::Steady);
        }
    }

    /// Any spec is either refused with a sentence for each field or can be evaluated.
    #[test]
    fn any_spec_is_refused_or_works(min in any::<i32>(), max in any::<i32>(), number in "[0-9a-zA-Z.+-]{0,8}",
                                    window in any::<i32>(), value in any::<i32>(), start in "[0-9*/, a-z-]{0,20}") {
        let mut spec = parse(r#"
scaleTargetRef: {kind: Deployment, name: x}
maxReplicas: 5
behavior: {scaleUp: {policies: [{type: Percent, value: 1, periodSeconds: 1}]}}
schedule: [{name: s, start: "0 8 * * *", duration: 1h, minReplicas: 1}]
kpis: [{name: load, type: Load, query: a, perReplica: "10"}]
"#);
        (spec.min_replicas, spec.max_replicas) = (min, max);
        spec.behavior.scale_up.policies[0].value = value;
        spec.behavior.scale_down.stabilization_window_seconds = Some(window);
        spec.schedule[0].start = start;
        spec.kpis[0].per_replica = Some(plimsoll_api::Quantity(number));
        match Validated::new(&spec) {
            Err(invalid) => prop_assert!(invalid.0.iter().all(|sentence| sentence.starts_with("spec."))),
            Ok(spec) => {
                let mut service = Driven { spec, ..Driven::new("{scaleTargetRef: {kind: D, name: x}, maxReplicas: 1, kpis: [{name: a, type: Load, query: a, perReplica: 1}]}", 1) };
                service.look(15, &[("load", fresh(50.0))]);
                service.look(15, &[("load", fresh(0.0))]);
            }
        }
    }
}
