//! Time from a step of load until enough replicas are wanted: a real shop, 20 requests a second and then 400.
//!
//! Every system sees the same step at the same moment. Three shops step one after the other, so that the systems are
//! in their steady state at each.

use super::{
    SCRAPE_INTERVAL,
    figures::{Spread, put, ratios},
    process,
    system::{Rule, System, unschedulable},
    watch::Watch,
};
use crate::{
    prelude::*,
    stage::{Load, Shop, Stage},
};

const NAME: &str = "shop";
const SHOPS: usize = 3;
/// Deployments of each system for each shop, each with its own query.
const DEPLOYMENTS: usize = 3;
/// The HorizontalPodAutoscaler evaluates every 15 s: its Deployments begin at different moments of that period.
const APART: Duration = Duration::from_secs(5);
const BEFORE: u32 = 20;
const AFTER: u32 = 400;
const PER_REPLICA: u32 = 10;
/// Two replicas serve the load before the step; the CPU use of an idle pod may make them three on CPU.
const MOST_BEFORE: i64 = 3;
/// 90 % of the 40 replicas that the load needs.
const ENOUGH: i64 = 36;
/// Longer than the query's window, so that the window has only the old load.
const QUIET: Duration = Duration::from_secs(18);
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to watch for overshoot after enough replicas are wanted.
const OVERSHOOT: Duration = Duration::from_secs(8);
const LONG: &str = "3600s";

#[derive(Default)]
struct Times {
    first_raise: Spread,
    enough: Spread,
    never_enough: usize,
    highest: i64,
}

/// A shop under its load before the step, and the Deployments that follow it.
struct LoadTest {
    namespace: String,
    url: String,
    _load: Load,
}

pub fn run(stage: &Stage, systems: &[System]) -> Result<Value> {
    let tests = (0..SHOPS).map(|number| LoadTest::open(stage, number)).collect::<Result<Vec<_>>>()?;
    let first = tests.first().context("there is a shop")?;
    let on_cpu = systems.contains(&System::Cpu);
    let per_replica_cpu = if on_cpu { Some(cpu_of_requests(stage, first)?) } else { None };
    for number in 0..DEPLOYMENTS {
        for (index, test) in tests.iter().enumerate() {
            for system in systems {
                test.add(stage, *system, (index, number), per_replica_cpu.as_deref())?;
            }
        }
        sleep(APART);
    }
    for test in &tests {
        systems.iter().try_for_each(|system| system.wait(stage, &test.namespace))?;
    }
    sleep(QUIET);
    let mut all: Vec<_> = systems.iter().map(|system| (*system, Times::default())).collect();
    for (number, test) in tests.into_iter().enumerate() {
        sleep(SCRAPE_INTERVAL.mul_f64(number as f64 / SHOPS as f64));
        eprintln!("  step {} of {SHOPS}", number + 1);
        test.step(stage, &mut all)?;
    }
    let mut figures = figures(&all);
    if let Some(cpu) = per_replica_cpu {
        put(&mut figures, "cpuPerReplica", json!(cpu));
    }
    Ok(figures)
}

fn figures(all: &[(System, Times)]) -> Value {
    let mut figures = json!({
        "what": format!("seconds from the first request of a step of {BEFORE} to {AFTER} requests/s to replicas wanted"),
        "scrapeInterval_s": SCRAPE_INTERVAL.as_secs(),
        "query": query("NAMESPACE", 0),
        "perReplica": PER_REPLICA,
        "enough": ENOUGH,
        "steps": SHOPS,
        "deployments": DEPLOYMENTS,
        "caveats": "too long by the load generator's start, about 10 ms; wanted (spec.replicas), not ready; all systems in \
                    the same steps; two pods serve the load and the Deployments that are scaled have Pending pods, but \
                    hpaCpu scales the shop itself and is given 10 requests/s as CPU, measured in the same run (it reads \
                    the kubelets every 15 s); plimsoll has period 1s, plimsollDefaults 15 s, KEDA and HPA their defaults \
                    (HPA syncs every 15 s, and at most doubles or adds 4 in 15 s)",
    });
    for (system, times) in all {
        let figure = json!({
            "firstRaise_s": times.first_raise.seconds(),
            "enough_s": times.enough.seconds(),
            "neverEnough": times.never_enough,
            "mostReplicasWanted": times.highest,
        });
        put(&mut figures, system.name(), figure);
    }
    let ratios = json!({
        "firstRaise": ratios(all, |times| &times.first_raise),
        "enough": ratios(all, |times| &times.enough),
    });
    put(&mut figures, "ratioOfMedians", ratios);
    figures
}

/// PromQL for the requests/s of a shop; each `number` gives another query with the same result.
fn query(namespace: &str, number: usize) -> String {
    format!(
        r#"sum(rate(http_requests_total{{namespace="{namespace}", app="{NAME}", pod!="{number}"}}[15s]))"#
    )
}

fn names(system: System) -> Vec<String> {
    match system {
        System::Cpu => vec![NAME.to_owned()],
        _ => system.names(DEPLOYMENTS),
    }
}

/// CPU of the requests per replica, as a quantity: the target on CPU that corresponds to the target on requests/s.
fn cpu_of_requests(stage: &Stage, test: &LoadTest) -> Result<String> {
    const MORE: u32 = 180;
    let pods = stage.cluster.list(&test.namespace, "pods --selector=app=shop")?;
    let pids = pods.iter().map(|pod| process::of_pod(pod, "plimsoll-shop").context("a pod has no process"));
    let pids = pids.collect::<Result<Vec<_>>>()?;
    let used = || pids.iter().map(|pid| process::cpu_seconds(*pid)).sum::<Result<f64>>();
    let load = start(stage, &test.url, MORE)?;
    sleep(Duration::from_secs(2));
    let (before, begin) = (used()?, Instant::now());
    sleep(Duration::from_secs(10));
    let cores = (used()? - before) / begin.elapsed().as_secs_f64();
    load.finish(true)?;
    // Until the load is no longer within the query's window.
    sleep(QUIET);
    let microcores = cores / f64::from(BEFORE + MORE) * f64::from(PER_REPLICA) * 1e6;
    Ok(format!("{microcores:.0}u"))
}

impl LoadTest {
    fn open(stage: &Stage, number: usize) -> Result<Self> {
        let namespace = format!("bench-load-{number}");
        stage.fresh_namespace(&namespace)?;
        // Two pods could serve the whole load: the result does not depend on how fast replicas start.
        // Each request takes a millisecond of CPU.
        let more = &["--queue-limit=1000", "--cpu-share=0.05"];
        let url = Shop { workers: 64, more, ..Shop::of(&namespace, NAME, 2) }.serve(stage)?;
        let load = start(stage, &url, BEFORE)?;
        Ok(Self { namespace, url, _load: load })
    }

    fn add(
        &self,
        stage: &Stage,
        system: System,
        (shop, number): (usize, usize),
        cpu: Option<&str>,
    ) -> Result<()> {
        let query = query(&self.namespace, number * 10 + usize::from(system == System::Defaults));
        let requests = PER_REPLICA.to_string();
        let (name, per_replica) = match system {
            // One for each shop, also at different moments.
            System::Cpu if shop != number => return Ok(()),
            System::Cpu => (NAME.to_owned(), cpu.context("the CPU of a request was not measured")?),
            _ => (format!("{}-{number}", system.prefix()), requests.as_str()),
        };
        let deployment = match system {
            System::Cpu => String::new(),
            _ => unschedulable(&self.namespace, &name, 2),
        };
        let rule =
            Rule { namespace: &self.namespace, name: &name, query: &query, per_replica, min: 2, max: 60 };
        stage.cluster.apply(&(deployment + &system.manifest(&rule))).map(drop)
    }

    /// Steps the load, waits until every system wants enough replicas, and deletes the namespace.
    fn step(self, stage: &Stage, all: &mut [(System, Times)]) -> Result<()> {
        let deployments: Vec<String> = all.iter().flat_map(|(system, _)| names(*system)).collect();
        let watch = Watch::begin(stage, &self.namespace, deployments.len())?;
        for name in &deployments {
            let before = watch.wanted(name).with_context(|| format!("{name} is not in the watch"))?;
            ensure!(before <= MOST_BEFORE, "{name} wants {before} replicas before the step; 2 are enough");
        }
        let load = start(stage, &self.url, AFTER - BEFORE)?;
        let stepped = Instant::now();
        watch.wait(&deployments, ENOUGH, stepped, PATIENCE);
        sleep(OVERSHOOT);
        load.finish(true)?;
        for (system, times) in all {
            times.note(*system, &watch, stepped);
            system.remove(stage, &self.namespace)?;
        }
        stage.cluster.kubectl(&["delete", "namespace", &self.namespace, "--wait", "--timeout=120s"]).map(drop)
    }
}

impl Times {
    fn note(&mut self, system: System, watch: &Watch, stepped: Instant) {
        for name in names(system) {
            let before = watch.wanted_at(&name, stepped).unwrap_or(0);
            let first = watch.reached(&name, before + 1, stepped).map(|at| at - stepped);
            let enough = watch.reached(&name, ENOUGH, stepped).map(|at| at - stepped);
            first.into_iter().for_each(|took| self.first_raise.add(took));
            enough.into_iter().for_each(|took| self.enough.add(took));
            self.never_enough += usize::from(enough.is_none());
            self.highest = self.highest.max(watch.wanted(&name).unwrap_or(0));
            let seconds = |took: Option<Duration>| took.map_or(f64::NAN, |took| took.as_secs_f64());
            eprintln!("    {name}: first raise {:.1} s, enough {:.1} s", seconds(first), seconds(enough));
        }
    }
}

fn start(stage: &Stage, url: &str, rate: u32) -> Result<Load> {
    Load::start(stage, url, &format!("{rate}@{LONG}"), &["--arrivals=uniform"])
}
