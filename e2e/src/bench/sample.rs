//! Time from a sample that Prometheus returns to a changed `spec.replicas`.

use super::{
    SCRAPE_INTERVAL,
    figures::{Spread, put, ratios},
    gauge::Gauge,
    system::System,
    watch::Watch,
};
use crate::{prelude::*, stage::Stage};

const NAMESPACE: &str = "bench-sample";
const STEPS: usize = 20;
const DEPLOYMENTS: usize = 4;
/// The HorizontalPodAutoscaler evaluates every 15 s, a whole number of scrapes: its Deployments begin at four different
/// moments of its period; otherwise all would be measured at the same phase.
const APART: Duration = Duration::from_millis(3_750);
const PATIENCE: Duration = Duration::from_secs(60);

struct Step {
    value: i64,
    visible: Instant,
}

pub fn run(stage: &Stage, systems: &[System]) -> Result<Value> {
    stage.fresh_namespace(NAMESPACE)?;
    let gauge = Gauge::deploy(stage, NAMESPACE, 1)?;
    for (index, system) in systems.iter().enumerate() {
        for (number, name) in system.names(DEPLOYMENTS).iter().enumerate() {
            stage.cluster.apply(&gauge.follower(*system, name, index * DEPLOYMENTS + number))?;
            sleep(APART);
        }
        system.wait(stage, NAMESPACE)?;
    }
    let watch = Watch::begin(stage, NAMESPACE, 1 + systems.len() * DEPLOYMENTS)?;
    let steps = climb(&gauge, &watch)?;
    let mut figures = json!({
        "what": "seconds from a sample that Prometheus answers with to a changed spec.replicas",
        "scrapeInterval_s": SCRAPE_INTERVAL.as_secs(),
        "steps": STEPS,
        "deployments": DEPLOYMENTS,
        "caveats": "never too short, by up to 20 ms and a query; pods stay Pending; all systems in the same steps; \
                    plimsoll has period 1s, plimsollDefaults 15 s, KEDA and HPA their defaults (HPA syncs every 15 s)",
    });
    let mut spreads = Vec::new();
    for system in systems {
        let mut spread = Spread::default();
        for Step { value, visible } in &steps {
            for name in system.names(DEPLOYMENTS) {
                let in_time = watch.wait(std::slice::from_ref(&name), *value, *visible, PATIENCE);
                ensure!(in_time, "{name} did not want {value} replicas within {PATIENCE:?}");
                if let Some(at) = watch.reached(&name, *value, *visible) {
                    spread.add(at.duration_since(*visible));
                }
            }
        }
        put(&mut figures, &format!("{}_s", system.name()), spread.seconds());
        spreads.push((*system, spread));
    }
    put(&mut figures, "ratioOfMedians", ratios(&spreads, |spread| spread));
    for system in systems {
        system.remove(stage, NAMESPACE)?;
    }
    stage.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(figures)
}

/// Each step exceeds the tolerance of 10 % that all systems have. It does not wait for the slower systems: the first write
/// that is at least as high counts for a step.
fn climb(gauge: &Gauge, watch: &Watch) -> Result<Vec<Step>> {
    let mut steps = Vec::with_capacity(STEPS);
    for number in 0..STEPS {
        let value = (gauge.value() + 1).max((gauge.value() * 112 + 99) / 100);
        gauge.raise_to(value)?;
        let visible = gauge.visible()?;
        watch.wait(&System::Plimsoll.names(DEPLOYMENTS), value, visible, Duration::from_secs(10));
        steps.push(Step { value, visible });
        eprintln!("  step {} of {STEPS}: {value}", number + 1);
        // Multiples of the golden ratio spread evenly: each step is at another moment between two scrapes.
        sleep(SCRAPE_INTERVAL.mul_f64((number as f64 * 0.618_034).fract()));
    }
    Ok(steps)
}
