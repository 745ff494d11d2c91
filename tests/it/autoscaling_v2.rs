//! Differential test: a model of autoscaling/v2's published behaviour, written from its description without Plimsoll's code.
//!
//! Sources: KEP-853 (behavior), the HPA algorithm page of kubernetes.io, `pkg/controller/podautoscaler` of Kubernetes.

use proptest::prelude::*;

use super::fixtures::{Driven, fresh};

/// One rate policy.
#[derive(Clone, Debug)]
struct Policy {
    percent: bool,
    value: i64,
    period: i64,
}

/// Rules of one direction.
#[derive(Clone, Debug)]
struct Rules {
    window: i64,
    select: &'static str,
    policies: Vec<Policy>,
}

struct Hpa {
    up: Rules,
    down: Rules,
    min: i64,
    max: i64,
    target: f64,
    recommendations: Vec<(i64, i64)>,
    changes: Vec<(i64, i64)>,
}

impl Hpa {
    /// External metric of type AverageValue.
    fn proposal(&self, value: f64, current: i64) -> i64 {
        let ratio = value / (self.target * current as f64);
        if current > 0 && (1.0 - 0.1..=1.0 + 0.1).contains(&ratio) {
            current
        } else {
            (value / self.target).ceil() as i64
        }
    }

    fn sync(&mut self, time: i64, value: f64, current: i64) -> i64 {
        let proposal = self.proposal(value, current);
        if self.recommendations.is_empty() {
            self.recommendations.push((time, current));
        }
        let within = |window: i64| {
            let values: Vec<i64> = self
                .recommendations
                .iter()
                .filter(|(at, _)| *at > time - window)
                .map(|(_, value)| *value)
                .collect();
            values
        };
        let up = within(self.up.window).into_iter().chain([proposal]).min().unwrap();
        let down = within(self.down.window).into_iter().chain([proposal]).max().unwrap();
        let mut wanted = current;
        if wanted < up {
            wanted = up;
        }
        if wanted > down {
            wanted = down;
        }
        self.recommendations.push((time, proposal));
        let changed = |period: i64| -> i64 {
            self.changes.iter().filter(|(at, _)| *at > time - period).map(|(_, delta)| *delta).sum()
        };
        if wanted > current && (!self.up.policies.is_empty() || self.up.select == "Disabled") {
            let limits = self.up.policies.iter().map(|policy| {
                let start = current - changed(policy.period);
                if policy.percent {
                    (start as f64 * (1.0 + policy.value as f64 / 100.0)).ceil() as i64
                } else {
                    start + policy.value
                }
            });
            let limit = match self.up.select {
                "Disabled" => current,
                "Min" => limits.min().unwrap(),
                _ => limits.max().unwrap(),
            };
            wanted = wanted.min(limit.max(current));
        } else if wanted < current && (!self.down.policies.is_empty() || self.down.select == "Disabled") {
            let limits = self.down.policies.iter().map(|policy| {
                let start = current - changed(policy.period);
                if policy.percent {
                    (start as f64 * (1.0 - policy.value as f64 / 100.0)) as i64
                } else {
                    start - policy.value
                }
            });
            let limit = match self.down.select {
                "Disabled" => current,
                "Min" => limits.max().unwrap(),
                _ => limits.min().unwrap(),
            };
            wanted = wanted.max(limit.min(current));
        }
        wanted = wanted.clamp(self.min, self.max);
        if wanted != current {
            self.changes.push((time, wanted - current));
        }
        wanted
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    let policy = (any::<bool>(), prop_oneof![Just(1i64), Just(4), Just(10), Just(50), Just(100)], 1..10i64)
        .prop_map(|(percent, value, period)| Policy { percent, value, period: period * 15 });
    let select = prop_oneof![4 => Just("Max"), 2 => Just("Min"), 1 => Just("Disabled")];
    // Not one period: Plimsoll's windows cover at least two turns, while autoscaling/v2's may cover one.
    let window = prop_oneof![Just(0), 2..20i64];
    (window, select, proptest::collection::vec(policy, 0..3)).prop_map(|(window, select, policies)| Rules {
        window: window * 15,
        select,
        policies,
    })
}

fn yaml(rules: &Rules) -> String {
    let policies = rules.policies.iter().map(|policy| {
        let kind = if policy.percent { "Percent" } else { "Pods" };
        format!("{{type: {kind}, value: {}, periodSeconds: {}}}", policy.value, policy.period)
    });
    format!(
        "{{stabilizationWindowSeconds: {}, selectPolicy: {}, policies: [{}]}}",
        rules.window,
        rules.select,
        policies.collect::<Vec<_>>().join(", ")
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_load_scales_as_the_hpa_would_with_the_same_behavior(
        up in rules(), down in rules(), start in 1..40i64,
        loads in proptest::collection::vec(0..600u32, 1..60),
    ) {
        let (min, max) = (1, 50);
        let mut hpa = Hpa { up: up.clone(), down: down.clone(), min, max, target: 10.0, recommendations: vec![], changes: vec![] };
        let mut ours = Driven::new(&format!(r#"
scaleTargetRef: {{kind: Deployment, name: x}}
minReplicas: {min}
maxReplicas: {max}
behavior: {{scaleUp: {}, scaleDown: {}}}
kpis: [{{name: load, type: Load, query: a, perReplica: "10"}}]
"#, yaml(&up), yaml(&down)), start as i32);
        // The first turn differs on purpose without a window: Plimsoll never scales down on it.
        ours.look(0, &[("load", fresh(start as f64 * 10.0))]);
        let mut theirs = hpa.sync(0, start as f64 * 10.0, start);
        prop_assert_eq!(i64::from(ours.replicas), theirs);
        for (index, load) in loads.into_iter().enumerate() {
            let time = 15 * (index as i64 + 1);
            theirs = hpa.sync(time, f64::from(load), theirs);
            let decision = ours.look(15, &[("load", fresh(f64::from(load)))]);
            prop_assert_eq!(i64::from(decision.replicas), theirs, "at {} s with load {}: {:?}", time, load, decision);
        }
    }
}
