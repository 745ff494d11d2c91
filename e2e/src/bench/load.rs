//! From a step of load to enough replicas wanted: a real shop, 20 requests a second and then 400.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    SCRAPE_INTERVAL,
    figures::{Spread, put, ratio},
    system::{Rule, System},
    watch::Watch,
};
use crate::{
    process::wait_for,
    stage::{Load, Shop, Stage},
};

const NAMESPACE: &str = "bench-load";
const NAME: &str = "shop";
const REPETITIONS: usize = 5;
const BEFORE: u32 = 20;
const AFTER: u32 = 400;
const PER_REPLICA: u32 = 10;
/// 90 % of the 40 replicas that the load needs.
const ENOUGH: i64 = 36;
/// Longer than the query's window, so that the old load is all that it shows.
const QUIET: Duration = Duration::from_secs(18);
/// The step comes at as many different moments of the peers' 15 s as there are repetitions.
const PEERS_PERIOD: Duration = Duration::from_secs(15);
/// The longest wait for enough replicas.
const PATIENCE: Duration = Duration::from_secs(150);

/// The two times of each repetition.
#[derive(Default)]
struct Times {
    first_raise: Spread,
    enough: Spread,
    highest: i64,
}

/// Repeats the step for each system in turn.
pub fn run(stage: &Stage, systems: &[System]) -> Result<Value> {
    stage.fresh_namespace(NAMESPACE)?;
    // Two pods could serve it all: what is measured does not depend on how fast the replicas start.
    let shop = Shop {
        namespace: NAMESPACE,
        name: NAME,
        replicas: 2,
        workers: 64,
        service_time: "20ms",
        startup: "0s",
        more: &["--queue-limit=1000"],
    };
    shop.deploy(stage)?;
    let url = shop.url(stage)?;
    let mut all: Vec<Times> = systems.iter().map(|_| Times::default()).collect();
    for repetition in 0..REPETITIONS {
        for (system, times) in systems.iter().zip(&mut all) {
            step(stage, *system, &url, repetition, times)?;
        }
    }
    let mut figures = json!({
        "what": format!("seconds from the first request of a step of {BEFORE} to {AFTER} requests/s to replicas wanted"),
        "scrapeInterval_s": SCRAPE_INTERVAL.as_secs(),
        "query": query(),
        "perReplica": PER_REPLICA,
        "enough": ENOUGH,
        "repetitions": REPETITIONS,
        "caveats": "too long by the load generator's start, some 10 ms; wanted (spec.replicas), not ready; each system \
                    in its own repetitions; Plimsoll with period 1s, KEDA and HPA with their defaults (HPA syncs every \
                    15 s, and at most doubles or adds 4 in 15 s)",
    });
    for (system, times) in systems.iter().zip(&all) {
        put(
            &mut figures,
            system.name(),
            json!({
                "firstRaise_s": times.first_raise.seconds(),
                "enough_s": times.enough.seconds(),
                "mostReplicasWanted": times.highest,
            }),
        );
    }
    if let [ours, theirs] = all.as_slice() {
        put(
            &mut figures,
            "ratioOfMedians",
            json!({
                "firstRaise": ratio(&ours.first_raise, &theirs.first_raise),
                "enough": ratio(&ours.enough, &theirs.enough),
            }),
        );
    }
    stage.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(figures)
}

fn query() -> String {
    format!(r#"sum(rate(http_requests_total{{namespace="{NAMESPACE}", app="{NAME}"}}[15s]))"#)
}

fn step(stage: &Stage, system: System, url: &str, repetition: usize, times: &mut Times) -> Result<()> {
    let query = query();
    let rule =
        Rule { namespace: NAMESPACE, name: NAME, query: &query, per_replica: PER_REPLICA, min: 2, max: 60 };
    let quiet = QUIET + PEERS_PERIOD.mul_f64(repetition as f64 / REPETITIONS as f64);
    let shape = format!("{BEFORE}@{}ms,{AFTER}@{}s", quiet.as_millis(), PATIENCE.as_secs() + 30);
    let began = Instant::now();
    let load = Load::start(stage, url, &shape, &["--arrivals=uniform"])?;
    stage.cluster.apply(&system.manifest(&rule))?;
    system.wait(stage, NAMESPACE)?;
    let watch = Watch::begin(stage, NAMESPACE, 1)?;
    let stepped = began + quiet;
    let left = stepped.saturating_duration_since(Instant::now());
    if left.is_zero() {
        bail!("{} was not ready within the {} s before the step", system.name(), quiet.as_secs());
    }
    sleep(left);
    let before = watch.wanted(NAME).context("the watch does not know the shop")?;
    if before != 2 {
        bail!("{} wants {before} replicas before the step; 2 are enough", system.name());
    }
    let names = [NAME.to_owned()];
    let enough = watch.wait(&names, ENOUGH, stepped, PATIENCE);
    let (first, last) = (watch.reached(NAME, before + 1, stepped), watch.reached(NAME, ENOUGH, stepped));
    // Long enough to see whether more are wanted than the load needs.
    sleep(if system == System::Plimsoll { Duration::from_secs(10) } else { Duration::ZERO });
    times.highest = times.highest.max(watch.wanted(NAME).unwrap_or(0));
    load.finish(true)?;
    back_to_two(stage, system)?;
    let (true, Some(first), Some(last)) = (enough, first, last) else {
        bail!("{} did not want {ENOUGH} replicas within {} s", system.name(), PATIENCE.as_secs());
    };
    times.first_raise.add(first - stepped);
    times.enough.add(last - stepped);
    eprintln!(
        "  {} {} of {REPETITIONS}: first raise {:.1} s, enough {:.1} s",
        system.name(),
        repetition + 1,
        (first - stepped).as_secs_f64(),
        (last - stepped).as_secs_f64()
    );
    Ok(())
}

fn back_to_two(stage: &Stage, system: System) -> Result<()> {
    system.remove(stage, NAMESPACE)?;
    let shop = format!("deployment/{NAME}");
    stage.cluster.kubectl(&["--namespace", NAMESPACE, "scale", &shop, "--replicas=2"])?;
    wait_for("the shop's pods to be two again", Duration::from_secs(60), || {
        let pods = stage.cluster.kubectl(&["--namespace", NAMESPACE, "get", "pods", "--output=name"])?;
        Ok(pods.lines().count() == 2)
    })
}
