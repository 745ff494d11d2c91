//! The cost of a thousand services while nothing changes: CPU, memory, queries and writes of the leader.

use super::{
    SCRAPE_INTERVAL,
    figures::put,
    gauge::Gauge,
    process,
    system::{System, unschedulable},
};
use crate::{
    metrics::{fetch, total},
    prelude::*,
    process::resident_bytes,
    stage::{OPERATOR_NAMESPACE, Stage},
};

const NAMESPACE: &str = "bench-steady";
const SERVICES: usize = 1_000;
/// Number of different queries of all services, in each part.
const QUERIES: [usize; 2] = [SERVICES, 10];
/// Longer than the interval at which a status is written for small changes.
const SETTLE: Duration = Duration::from_secs(75);
const MEASURED: Duration = Duration::from_secs(60);

pub fn run(stage: &Stage, _systems: &[System]) -> Result<Value> {
    stage.fresh_namespace(NAMESPACE)?;
    // An empty queue wants no replicas, so that a thousand Deployments have no pods.
    let gauge = Gauge::deploy(stage, NAMESPACE, 0)?;
    let mut figures = json!({
        "what": "the operator's leader with services that do not change",
        "services": SERVICES,
        "period_s": 15,
        "scrapeInterval_s": SCRAPE_INTERVAL.as_secs(),
        "measured_s": MEASURED.as_secs(),
        "caveats": "one KPI each; no pods, so watches of pods cost nothing; memory is resident, after the start of a \
                    thousand services; queries as the operator counts them, including those for the age of a sample",
    });
    for queries in QUERIES {
        let part = measure(stage, &gauge, queries)?;
        put(&mut figures, &format!("{queries}Questions"), part);
    }
    stage.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(figures)
}

fn measure(stage: &Stage, gauge: &Gauge, queries: usize) -> Result<Value> {
    let manifest: String =
        (0..SERVICES).map(|number| service(number, &gauge.query(number % queries))).collect();
    stage.cluster.apply(&manifest)?;
    System::Plimsoll.wait(stage, NAMESPACE)?;
    eprintln!("  {SERVICES} services with {queries} queries");
    sleep(SETTLE);
    let leader = Leader::find(stage)?;
    let (before, begin) = (leader.counts()?, Instant::now());
    sleep(MEASURED);
    let (after, seconds) = (leader.counts()?, begin.elapsed().as_secs_f64());
    let rate = |count: fn(&Counts) -> f64| ((count(&after) - count(&before)) / seconds * 1e3).round() / 1e3;
    Ok(json!({
        "cpuCores": rate(|counts| counts.cpu_seconds),
        "residentMiB": resident_bytes(leader.pid) >> 20,
        "decisionsPerSecond": rate(|counts| counts.decisions),
        "queriesPerSecond": rate(|counts| counts.queries),
        "queriesPerQuestionAndPeriod": rate(|counts| counts.queries) * 15.0 / queries as f64,
        "scaleWrites": after.scale_writes - before.scale_writes,
        "statusWrites": after.status_writes - before.status_writes,
    }))
}

/// A Deployment without replicas, and a ScalableService that does not change it.
fn service(number: usize, query: &str) -> String {
    let name = format!("idle-{number}");
    let deployment = unschedulable(NAMESPACE, &name, 0);
    format!(
        r#"{deployment}---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  minReplicas: 0
  maxReplicas: 10
  kpis:
  - {{name: load, type: Load, perReplica: "1", query: '{query}'}}
"#
    )
}

struct Leader {
    pid: u32,
    metrics: String,
}

struct Counts {
    cpu_seconds: f64,
    decisions: f64,
    queries: f64,
    scale_writes: f64,
    status_writes: f64,
}

impl Leader {
    fn find(stage: &Stage) -> Result<Self> {
        let pod = stage.cluster.get(OPERATOR_NAMESPACE, "pod", &stage.leader()?)?;
        let pid = process::of_pod(&pod, "plimsoll").context("the leader's process is not found")?;
        let mut ports = pod.list("/spec/containers/0/ports").iter();
        let port = ports.find(|port| port.text("/name") == "http").context("no port http")?;
        let (address, port) = (pod.text("/status/podIP"), port.number("/containerPort"));
        Ok(Self { pid, metrics: format!("http://{address}:{port}/metrics") })
    }

    fn counts(&self) -> Result<Counts> {
        let page = fetch(&self.metrics)?;
        Ok(Counts {
            cpu_seconds: process::cpu_seconds(self.pid)?,
            decisions: total(&page, "plimsoll_decisions_total"),
            queries: total(&page, "plimsoll_queries_total"),
            scale_writes: total(&page, "plimsoll_scale_writes_total"),
            status_writes: total(&page, "plimsoll_status_writes_total"),
        })
    }
}
