//! Two hundred services that step at the same time: time from the sample to the first write and to the last.

use super::{
    SCRAPE_INTERVAL,
    figures::{Spread, put, ratios},
    gauge::Gauge,
    system::System,
    watch::Watch,
};
use crate::{prelude::*, stage::Stage};

const NAMESPACE: &str = "bench-many";
const SERVICES: usize = 200;
const REPETITIONS: i64 = 3;
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two steps: the pods of one step are created before the next.
const PAUSE: Duration = Duration::from_secs(8);

#[derive(Default)]
struct Times {
    first: Spread,
    last: Spread,
}

pub fn run(stage: &Stage, systems: &[System]) -> Result<Value> {
    let mut figures = json!({
        "what": "seconds from a sample that Prometheus answers with to the first and to the last changed spec.replicas",
        "scrapeInterval_s": SCRAPE_INTERVAL.as_secs(),
        "services": SERVICES,
        "repetitions": REPETITIONS,
        "caveats": "never too short, by up to 20 ms and a query; each service has its own query of one gauge; \
                    pods stay Pending, and their creation takes part of the same two cores; each system in its own \
                    repetitions; plimsoll has period 1s, plimsollDefaults 15 s, KEDA and HPA \
                    their defaults (HPA syncs every 15 s)",
    });
    let mut all = Vec::new();
    for system in systems {
        let times = measure(stage, *system)?;
        let part = json!({"firstRaise_s": times.first.seconds(), "lastRaise_s": times.last.seconds()});
        put(&mut figures, system.name(), part);
        all.push((*system, times));
    }
    let (first, last) = (ratios(&all, |times| &times.first), ratios(&all, |times| &times.last));
    put(&mut figures, "ratioOfMedians", json!({"firstRaise": first, "lastRaise": last}));
    Ok(figures)
}

fn measure(stage: &Stage, system: System) -> Result<Times> {
    stage.fresh_namespace(NAMESPACE)?;
    let gauge = Gauge::deploy(stage, NAMESPACE, 1)?;
    let names = system.names(SERVICES);
    let manifest = names.iter().enumerate().map(|(number, name)| gauge.follower(system, name, number));
    let manifest: String = manifest.collect();
    stage.cluster.apply(&manifest)?;
    system.wait(stage, NAMESPACE)?;
    let watch = Watch::begin(stage, NAMESPACE, SERVICES + 1)?;
    let mut times = Times::default();
    for repetition in 1..=REPETITIONS {
        // Until the work of the previous repetition is done.
        sleep(PAUSE + SCRAPE_INTERVAL.mul_f64(repetition as f64 / (REPETITIONS + 1) as f64));
        let value = gauge.value() + 1;
        gauge.raise_to(value)?;
        let visible = gauge.visible()?;
        if !watch.wait(&names, value, visible, PATIENCE) {
            let left = names.iter().filter(|name| watch.reached(name, value, visible).is_none()).count();
            bail!("{left} of {SERVICES} did not want {value} replicas within {} s", PATIENCE.as_secs());
        }
        let delays = names.iter().filter_map(|name| watch.reached(name, value, visible));
        let mut delays: Vec<Duration> = delays.map(|at| at - visible).collect();
        delays.sort();
        if let (Some(first), Some(last)) = (delays.first(), delays.last()) {
            times.first.add(*first);
            times.last.add(*last);
            eprintln!(
                "  {} {repetition} of {REPETITIONS}: first {:.2} s, last {:.2} s",
                system.name(),
                first.as_secs_f64(),
                last.as_secs_f64()
            );
        }
    }
    drop(watch);
    system.remove(stage, NAMESPACE)?;
    stage.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(times)
}
