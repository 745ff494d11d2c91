//! Microseconds for one decision: `cargo bench -p plimsoll --bench engine`, or `cargo xtask bench engine`.
//!
//! Only the pure engine is timed: no client, no Prometheus, no status. Prints one line of JSON.

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use plimsoll_api::{Goal, ScalableServiceSpec, Validated};
use plimsoll_engine::{Change, Memory, Observation, Pod, Pods, Sample, Value, alone, turn};
use serde_json::{Value as Json, json};

/// Number of batches; the fastest, the median and the slowest are reported.
const BATCHES: usize = 40;
/// Decisions that warm caches and fill the memory's windows before the first batch.
const WARM_UP: usize = 2_000;
/// Decisions of one batch.
const DECISIONS: usize = 1_000;
/// Ready replicas, each with its own series in KPIs of type Utilization.
const PODS: usize = 40;

/// Like the examples: a Load and an Objective.
const SHOP: &str = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 2
maxReplicas: 100
period: 5s
kpis:
- {name: throughput, type: Load, query: l, perReplica: "100"}
- {name: cpu, type: Utilization, query: u, target: "0.7"}
- {name: latency, type: Objective, query: o, atMost: "0.25"}
behavior:
  scaleUp: {policies: [{type: Percent, value: 100, periodSeconds: 15}]}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` passes `--bench` and perhaps a filter; there is one bench only, so nothing is read.
    let figures = json!({
        "bench": "engine",
        "unit": "microseconds a decision",
        "batches": BATCHES,
        "decisionsPerBatch": DECISIONS,
        "pods": PODS,
        "2KpisAndObjective": measure(SHOP)?,
        "16Kpis": measure(&sixteen_kpis())?,
        "notIncluded": "watches, queries, writes, status and telemetry",
    });
    println!("{figures}");
    Ok(())
}

/// The most KPIs that a spec may have.
fn sixteen_kpis() -> String {
    let kpis = (0..16).map(|number| match number % 4 {
        0 | 1 => format!("- {{name: load-{number}, type: Load, query: l, perReplica: \"100\"}}\n"),
        2 => format!("- {{name: use-{number}, type: Utilization, query: u, target: \"0.7\"}}\n"),
        _ => format!("- {{name: limit-{number}, type: Objective, query: o, atMost: \"0.25\"}}\n"),
    });
    let (head, _) = SHOP.split_once("- {").unwrap_or((SHOP, ""));
    head.to_owned() + &kpis.collect::<String>()
}

/// Lets one service live through hours of waves, and times its decisions.
fn measure(yaml: &str) -> Result<Json, Box<dyn Error>> {
    let spec = Validated::new(&serde_saphyr::from_str::<ScalableServiceSpec>(yaml)?)?;
    let mut life = Life {
        spec: &spec,
        memory: Memory::default(),
        replicas: PODS as i32,
        changes: 0,
        now: Timestamp::from_second(1_800_000_000)?,
        looks: 0,
    };
    life.batch(WARM_UP);
    let mut batches: Vec<f64> =
        (0..BATCHES).map(|_| life.batch(DECISIONS).as_secs_f64() * 1e6 / DECISIONS as f64).collect();
    batches.sort_by(f64::total_cmp);
    let at = |index: usize| batches.get(index).map(|micros| (micros * 1e3).round() / 1e3);
    Ok(json!({
        "min": at(0),
        "median": at(BATCHES / 2),
        "max": at(BATCHES - 1),
        // A bench in which nothing is ever decided would measure the wrong thing.
        "changesOfReplicas": life.changes,
    }))
}

struct Life<'a> {
    spec: &'a Validated,
    memory: Memory,
    replicas: i32,
    changes: u32,
    now: Timestamp,
    looks: u32,
}

impl Life<'_> {
    /// Time of `decisions` decisions; their inputs are prepared before.
    fn batch(&mut self, decisions: usize) -> Duration {
        let mut moments: Vec<_> = (0..decisions).map(|_| self.moment()).collect();
        let begin = Instant::now();
        for (now, seen) in &mut moments {
            seen.replicas = self.replicas;
            let decision =
                black_box(turn(self.spec, black_box(seen), &mut self.memory, *now, &mut alone).decision);
            if decision.replicas != self.replicas {
                self.changes += 1;
                self.memory.changed(Change { at: *now, from: self.replicas, to: decision.replicas });
                self.replicas = decision.replicas;
            }
        }
        begin.elapsed()
    }

    /// The observation five seconds later: hourly waves with a ripple, so that windows fill and replicas change.
    fn moment(&mut self) -> (Timestamp, Observation) {
        self.looks += 1;
        self.now += SignedDuration::from_secs(5);
        let wave = (f64::from(self.looks) * std::f64::consts::TAU / 720.0).sin();
        let ripple = 1.0 + 0.03 * (f64::from(self.looks) * 2.4).sin();
        let load = 4_000.0 * (1.0 + 0.5 * wave) * ripple;
        let samples = self.spec.kpis.iter().map(|rule| {
            let value = match rule.goal {
                Goal::PerReplica(_) => Value::Single(load),
                Goal::Average(_) => {
                    Value::ByPod((0..PODS).map(|pod| (format!("shop-{pod}"), 0.6 * ripple)).collect())
                }
                Goal::AtMost(_) => Value::Single(0.15 * ripple),
            };
            let newest = matches!(rule.goal, Goal::PerReplica(_)).then_some(load);
            let sample = Sample {
                value: Some(value),
                newest,
                targets: Some(PODS as u32),
                ..Sample::fresh(0.0, self.now)
            };
            (rule.name.clone(), sample)
        });
        let pods = (0..PODS).map(|pod| Pod { name: format!("shop-{pod}"), ready: true, starting: false });
        let seen = Observation {
            replicas: self.replicas,
            pods: Pods::Listed(pods.collect()),
            samples: samples.collect(),
            ..Observation::default()
        };
        (self.now, seen)
    }
}
