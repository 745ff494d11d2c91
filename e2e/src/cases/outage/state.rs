//! A shop under a steady load, with a ScalableService that would scale down immediately.

use crate::{
    cases::prelude::*,
    stage::{Load, OPERATOR_NAMESPACE, Shop, Stage, scalable_service},
};
use std::{ops::RangeInclusive, sync::PoisonError};

pub const NAMESPACE: &str = "outages";
/// Another Deployment, scaled by the same load, with `onEmpty: Zero`.
pub const TWIN: &str = "twin";
/// An unscaled Deployment, the source of a KPI that the outages do not affect.
const ELSEWHERE: &str = "elsewhere";
/// Duration of a fault: more than twice the age at which a sample is stale (5 s).
pub const LASTS: Duration = Duration::from_secs(12);
/// Time within which the service recovers after a fault, without help.
pub const RECOVERY: Duration = Duration::from_secs(15);
/// Longest range of the queries.
pub const RANGE: Duration = Duration::from_secs(10);
/// Replicas at which the steady load is within the tolerance, so that nothing changes.
const STEADY: RangeInclusive<i64> = 10..=13;

/// 105 requests a second, 10 for each replica: 10 replicas; a scale-down happens only from 14 replicas on,
/// so that no jitter of a scrape looks like an unsafe scale-down. Without a window it would be immediate.
/// The backlog is measured on other pods and is zero: when it alone is known, it votes for the minimum.
const SPEC: &str = r#"behavior: {scaleDown: {stabilizationWindowSeconds: 0, tolerance: "0.22"}}
kpis:
- name: throughput
  type: Load
  query: sum(rate(http_requests_total{namespace="outages", app="shop"}[10s]))
  perReplica: "10"
- name: busy
  type: Utilization
  query: sum by (pod) (rate(http_request_duration_seconds_sum{namespace="outages", app="shop"}[5s])) / 4
  target: "0.8"
- name: latency-p99
  type: Objective
  query: histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="outages", app="shop"}[5s])))
  atMost: "4"
- name: backlog
  type: Load
  query: sum(http_queue_length{namespace="outages", app="elsewhere"})
  perReplica: "10""#;
const TWIN_SPEC: &str = r#"behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
kpis:
- name: throughput
  type: Load
  query: sum(rate(http_requests_total{namespace="outages", app="shop"}[10s]))
  perReplica: "50"
  onEmpty: Zero"#;

/// A burst keeps the replicas from falling for 60 s. A kubelet that lost the API server may ask for its pods again only
/// after as long, by the back-off of client-go.
const CALM_WITHIN: Duration = Duration::from_secs(120);

pub struct Outage {
    url: String,
    load: Load,
    pub target: WatchLog,
    pub service: WatchLog,
    pub twin: WatchLog,
}

/// Runs a case on the shared shop once it is steady; the first case sets it up.
pub fn play<T>(fixture: &Fixture, act: impl FnOnce(&mut Outage) -> Result<T>) -> Result<T> {
    let mut kept = fixture.outage.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_none() {
        *kept = Some(Outage::set(&fixture.stage)?);
    }
    let outage = kept.as_mut().context("the shop is not set up")?;
    outage.calm().context("before the case")?;
    act(outage).map_err(|error| {
        report(fixture);
        anyhow!("{error:#}; {}", outage.decisions())
    })
}

/// Prints the last log lines of the operators, for the reader of a failed run.
fn report(fixture: &Fixture) {
    let newest = "logs --selector=app.kubernetes.io/name=plimsoll --prefix --tail=40";
    match fixture.stage.cluster.kubectl_in(OPERATOR_NAMESPACE, newest) {
        Ok(logs) => println!("{logs}"),
        Err(error) => println!("no logs: {error:#}"),
    }
}

pub fn strike(fixture: &Fixture) -> Result<()> {
    drop(fixture.outage.lock().unwrap_or_else(PoisonError::into_inner).take());
    fixture.stage.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).map(drop)
}

impl Outage {
    fn set(stage: &Stage) -> Result<Self> {
        stage.fresh_namespace(NAMESPACE)?;
        let more = &["--queue-limit=500"];
        let shop =
            |name, replicas| Shop { service_time: "60ms", more, ..Shop::of(NAMESPACE, name, replicas) };
        for (name, replicas) in [(TWIN, 3), (ELSEWHERE, 1), (SHOP, 10)] {
            shop(name, replicas).deploy(stage)?;
        }
        let url = shop(SHOP, 10).url(stage)?;
        let load = load(stage, &url, "105@900s")?;
        // The range of the first queries must be full of load.
        sleep(RANGE + Duration::from_secs(2));
        let service = scalable_service((NAMESPACE, SHOP), "{kind: Deployment, name: shop}", 2..=10, SPEC);
        let twin = scalable_service((NAMESPACE, TWIN), "{kind: Deployment, name: twin}", 1..=3, TWIN_SPEC);
        stage.cluster.apply(&(service + &twin))?;
        let follow = |kind, name| WatchLog::of(&stage.cluster, NAMESPACE, kind, name);
        let (target, service) = (follow("deployment", SHOP)?, follow("scalableservice", SHOP)?);
        Ok(Self { url, load, target, service, twin: follow("deployment", TWIN)? })
    }

    /// Waits until the previous case has no effect any more: steady replicas, all ready, also in the status.
    fn calm(&mut self) -> Result<()> {
        ensure!(self.load.runs()?, "the load generator has ended");
        let is_calm = || -> Result<bool> {
            let (target, service) = (self.target.last()?, self.service.last()?);
            let (replicas, ready) = (target.wanted(), target.number("/status/readyReplicas"));
            let reported = service.number("/status/readyReplicas");
            Ok(STEADY.contains(&replicas) && (ready, reported) == (replicas, replicas) && service.is("Ready"))
        };
        let calm = wait_for("calm", CALM_WITHIN, is_calm);
        calm.with_context(|| {
            let (replicas, ready) = (self.replicas().unwrap_or_default(), self.service.last());
            let ready = ready.map(|service| service.says("Ready")).unwrap_or_default();
            format!("{replicas} replicas, Ready {ready}; {}", self.decisions())
        })
    }

    pub fn replicas(&self) -> Result<i64> {
        Ok(self.target.last()?.wanted())
    }

    /// Sets `maxReplicas`. It is ten until the load rises, so that a burst of this machine causes no rise that is followed by
    /// a fall.
    pub fn limit(&self, stage: &Stage, replicas: u32) -> Result<()> {
        let spec = json!({"spec": {"maxReplicas": replicas}});
        stage.cluster.patch(NAMESPACE, "scalableservice shop", &spec)
    }

    pub fn more_load(&self, stage: &Stage, shape: &str) -> Result<Load> {
        load(stage, &self.url, shape)
    }

    pub fn replace_load(&mut self, stage: &Stage, instead: &str) -> Result<()> {
        let instead = load(stage, &self.url, instead)?;
        let account = std::mem::replace(&mut self.load, instead).finish(true)?;
        println!("load of the group: {} requests, {} lost", account.sent, account.lost());
        Ok(())
    }

    pub fn ready_says(&self, status: &str, from: SystemTime, within: Duration) -> Result<f64> {
        let should = format!("Ready={status}");
        self.service
            .wait_since(&should, from, within, |object| object.condition("Ready").text("/status") == status)
    }

    pub fn decisions(&self) -> String {
        let Ok(service) = self.service.last() else { return "no decisions".to_owned() };
        let reason = |reason: &Value| format!("{} {}", reason.text("/code"), reason["numbers"]);
        let decision = |record: &Value| {
            let reasons: Vec<_> = record.list("/reasons").iter().map(reason).collect();
            format!("{} -> {} by {}", record.number("/from"), record.number("/to"), reasons.join(", "))
        };
        service.list("/status/decisions").iter().take(4).map(decision).collect::<Vec<_>>().join("; ")
    }

    /// States of the service since `from` in which Ready is not True.
    pub fn complaints(&self, from: SystemTime) -> Vec<Snapshot> {
        self.service.since(from).into_iter().filter(|service| !service.is("Ready")).collect()
    }

    /// Summary of an outage: the fewest replicas since `began`, and a line with `symptom` and the seconds until the
    /// recovery.
    pub fn outcome(
        &self,
        stage: &Stage,
        (before, began): (i64, SystemTime),
        symptom: &str,
        recovered: f64,
    ) -> Result<(i64, String)> {
        let lowest = lowest(stage, &self.target, SHOP, began)?;
        let complaints = self.complaints(began);
        let kpis = complaints.iter().flat_map(|service| service.list("/status/kpis"));
        let states: BTreeSet<&str> =
            kpis.map(|kpi| kpi.text("/state")).filter(|state| *state != "Fresh").collect();
        let line = format!(
            "KPIs {states:?}: {symptom}, replicas {before} -> {lowest} or more, recovered in {recovered:.1} s"
        );
        Ok((lowest, line))
    }
}

/// Fewest replicas of a Deployment since `from`; fails if the watch missed a change.
pub fn lowest(stage: &Stage, watch_log: &WatchLog, name: &str, from: SystemTime) -> Result<i64> {
    let generation = stage.cluster.get(NAMESPACE, "deployment", name)?.generation();
    watch_log
        .wait("of the newest generation", Duration::from_secs(5), |last| last.generation() >= generation)?;
    let snapshots = watch_log.since(from);
    let generations: Vec<_> = snapshots.iter().map(|snapshot| snapshot.generation()).collect();
    if let Some([before, after]) = generations.windows(2).find(|pair| matches!(pair, [a, b] if b - a > 1)) {
        bail!("{name} jumps from generation {before} to {after}: the watch missed a change");
    }
    snapshots.iter().map(|snapshot| snapshot.wanted()).min().with_context(|| format!("{name} was not seen"))
}

fn load(stage: &Stage, url: &str, shape: &str) -> Result<Load> {
    Load::start(stage, url, shape, &["--arrivals=uniform", "--timeout=5s", "--objective=1s"])
}
