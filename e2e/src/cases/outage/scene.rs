//! A shop under a steady load, kept by a ScalableService that would carry out any scale-down at once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::{
    super::Theatre,
    film::{Film, Said, condition, number, text},
    table::Row,
};
use crate::stage::{Load, OPERATOR_NAMESPACE, Shop, Stage};

/// Namespace of the group.
pub const NAMESPACE: &str = "outages";
/// Deployment and ScalableService.
pub const SHOP: &str = "shop";
/// Another Deployment, scaled by the same load, whose user said that no answer means no load.
pub const TWIN: &str = "twin";
/// A Deployment that stays as it is, for a KPI that is measured elsewhere.
const ELSEWHERE: &str = "elsewhere";
/// Time that a fault lasts: more than twice the age at which a sample is stale (5 s).
pub const LASTS: Duration = Duration::from_secs(12);
/// Time within which all is well again after a fault, without help.
pub const RECOVERY: Duration = Duration::from_secs(15);
/// Longest range of the queries.
pub const RANGE: Duration = Duration::from_secs(10);
/// Replicas at which the steady load lies within the tolerance, so that nothing moves.
const STEADY: std::ops::RangeInclusive<i64> = 10..=13;

/// 315 requests a second, 30 for each replica: 10 replicas, which fall to what is needed only from 14 on,
/// so that no jitter of a scrape looks like an unsafe scale-down. No window: one would happen at once.
/// The backlog is measured elsewhere and asks for nothing: while it alone is known, it votes for the minimum.
const SERVICES: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: shop, namespace: outages}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  minReplicas: 2
  maxReplicas: 24
  period: 1s
  behavior: {scaleDown: {stabilizationWindowSeconds: 0, tolerance: "0.22"}}
  kpis:
  - name: throughput
    type: Load
    query: sum(rate(http_requests_total{namespace="outages", app="shop"}[10s]))
    perReplica: "30"
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
    perReplica: "10"
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: twin, namespace: outages}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: twin}
  minReplicas: 1
  maxReplicas: 3
  period: 1s
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
  kpis:
  - name: throughput
    type: Load
    query: sum(rate(http_requests_total{namespace="outages", app="shop"}[10s]))
    perReplica: "150"
    onEmpty: Zero
"#;

/// A burst keeps the replicas from falling for 60 s. A kubelet that lost the API server may ask for its pods again only
/// after as long, by the back-off of client-go.
const CALM_WITHIN: Duration = Duration::from_secs(120);

static SCENE: Mutex<Option<Scene>> = Mutex::new(None);

/// The set-up of the group.
pub struct Scene {
    url: String,
    load: Load,
    /// The Deployment.
    pub target: Film,
    /// The ScalableService.
    pub service: Film,
    /// The other Deployment.
    pub twin: Film,
    /// What was seen so far.
    pub rows: Vec<Row>,
}

/// Plays a case in the scene, which the first one sets up, once all is calm.
pub fn play<T>(theatre: &Theatre, act: impl FnOnce(&mut Scene) -> Result<T>) -> Result<T> {
    let mut kept = SCENE.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_none() {
        *kept = Some(Scene::set(theatre)?);
    }
    let scene = kept.as_mut().context("the scene was not set")?;
    scene.calm().context("before the case")?;
    act(scene).map_err(|error| {
        report(theatre);
        anyhow!("{error:#}; {}", scene.decisions())
    })
}

/// Prints what the operators wrote last, for the reader of a run in which a case failed.
fn report(theatre: &Theatre) {
    let operators = ["--namespace", OPERATOR_NAMESPACE, "logs", "--selector=app.kubernetes.io/name=plimsoll"];
    let newest = ["--prefix", "--tail=40"];
    match theatre.stage.cluster.kubectl(&[&operators[..], &newest].concat()) {
        Ok(logs) => println!("{logs}"),
        Err(error) => println!("no logs: {error:#}"),
    }
}

/// Takes the scene down, and returns what was seen in it.
pub fn strike(theatre: &Theatre) -> Result<Vec<Row>> {
    let scene = SCENE.lock().unwrap_or_else(PoisonError::into_inner).take().context("no scene was set")?;
    let rows = scene.rows.clone();
    drop(scene);
    theatre.stage.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(rows)
}

impl Scene {
    fn set(theatre: &Theatre) -> Result<Self> {
        let stage = &theatre.stage;
        stage.fresh_namespace(NAMESPACE)?;
        let shop = |name, replicas| Shop {
            namespace: NAMESPACE,
            name,
            replicas,
            workers: 4,
            service_time: "20ms",
            startup: "0s",
            more: &["--queue-limit=500"],
        };
        shop(TWIN, 3).deploy(stage)?;
        shop(ELSEWHERE, 1).deploy(stage)?;
        shop(SHOP, 10).deploy(stage)?;
        let url = shop(SHOP, 10).url(stage)?;
        let load = load(stage, &url, "315@900s")?;
        // The first answers shall be about a window that is full of load.
        sleep(RANGE + Duration::from_secs(2));
        stage.cluster.apply(SERVICES)?;
        let film = |kind, name| Film::start(stage, NAMESPACE, kind, name);
        let scene = Self {
            url,
            load,
            target: film("deployment", SHOP)?,
            service: film("scalableservice", SHOP)?,
            twin: film("deployment", TWIN)?,
            rows: Vec::new(),
        };
        Ok(scene)
    }

    /// Waits until nothing of an earlier case is left: steady replicas, all of them ready, and a status that says so.
    fn calm(&mut self) -> Result<()> {
        if !self.load.runs()? {
            bail!("the load generator has ended");
        }
        let from = Instant::now();
        while from.elapsed() < CALM_WITHIN {
            let (target, service) = (self.target.last()?, self.service.last()?);
            let replicas = number(&target, "/spec/replicas");
            let ready = number(&target, "/status/readyReplicas");
            let told = number(&service, "/status/readyReplicas");
            if STEADY.contains(&replicas)
                && (ready, told) == (replicas, replicas)
                && condition(&service, "Ready").status == "True"
            {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        let service = self.service.last()?;
        bail!(
            "no calm within {:.0} s: {} replicas, Ready {:?}; {}",
            from.elapsed().as_secs_f64(),
            self.replicas()?,
            condition(&service, "Ready"),
            self.decisions()
        )
    }

    /// Replicas that the target wants.
    pub fn replicas(&self) -> Result<i64> {
        Ok(number(&self.target.last()?, "/spec/replicas"))
    }

    /// More load, until the value is dropped.
    pub fn more_load(&self, stage: &Stage, shape: &str) -> Result<Load> {
        load(stage, &self.url, shape)
    }

    /// Replaces the load by another one.
    pub fn replace_load(&mut self, stage: &Stage, instead: &str) -> Result<()> {
        let instead = load(stage, &self.url, instead)?;
        let account = std::mem::replace(&mut self.load, instead).finish(true)?;
        println!(
            "load of the group: {} requests, {} answered well, {} with an error, {} not answered",
            account.sent, account.ok, account.http_errors, account.transport_errors
        );
        Ok(())
    }

    /// Fewest replicas since `from`, none overlooked.
    pub fn lowest(&self, stage: &Stage, from: Instant) -> Result<i64> {
        lowest(stage, &self.target, SHOP, from)
    }

    /// Waits until the condition Ready is `status`.
    pub fn ready_says(&self, status: &str, from: Instant, within: Duration) -> Result<Duration> {
        let what = format!("Ready to be {status}");
        self.service.wait(&what, from, within, |service| condition(service, "Ready").status == status)
    }

    /// The last decisions with what they were made from, for the report of a failure.
    pub fn decisions(&self) -> String {
        let service = self.service.last().unwrap_or_default();
        let list = |object: &Value, path: &str| {
            object.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let reason = |reason: &Value| {
            format!("{} {}", text(reason, "/code"), reason.pointer("/numbers").unwrap_or(&Value::Null))
        };
        let decision = |record: &Value| {
            let reasons: Vec<_> = list(record, "/reasons").iter().map(reason).collect();
            format!("{} -> {} by {}", number(record, "/from"), number(record, "/to"), reasons.join(", "))
        };
        list(&service, "/status/decisions").iter().take(4).map(decision).collect::<Vec<_>>().join("; ")
    }

    /// All that was said of the condition Ready since `from` while it was not True, the newest last.
    pub fn complaints(&self, from: Instant) -> Vec<Said> {
        let frames = self.service.since(from);
        let said = frames.iter().map(|frame| condition(&frame.object, "Ready"));
        said.filter(|said| said.status != "True").collect()
    }

    /// States of the KPIs in all frames since `from` in which Ready is not True.
    pub fn states(&self, from: Instant) -> BTreeSet<String> {
        let broken = |object: &Value| condition(object, "Ready").status != "True";
        let frames = self.service.since(from).into_iter().filter(|frame| broken(&frame.object));
        frames
            .flat_map(|frame| {
                frame.object.pointer("/status/kpis").and_then(Value::as_array).cloned().unwrap_or_default()
            })
            .map(|kpi| text(&kpi, "/state"))
            .filter(|state| state != "Fresh")
            .collect()
    }
}

/// Fewest replicas of a filmed Deployment since `from`; fails if the film misses a change.
pub fn lowest(stage: &Stage, film: &Film, name: &str, from: Instant) -> Result<i64> {
    let generation = number(&stage.get(NAMESPACE, "deployment", name)?, "/metadata/generation");
    let up_to_date = |object: &Value| number(object, "/metadata/generation") >= generation;
    film.wait("the newest generation", Instant::now(), Duration::from_secs(5), up_to_date)?;
    let frames = film.since(from);
    let generations: Vec<_> =
        frames.iter().map(|frame| number(&frame.object, "/metadata/generation")).collect();
    if let Some([before, after]) = generations.windows(2).find(|pair| matches!(pair, [a, b] if b - a > 1)) {
        bail!("the film of {name} jumps from generation {before} to {after}: what was between is not known");
    }
    let replicas = frames.iter().map(|frame| number(&frame.object, "/spec/replicas"));
    replicas.min().with_context(|| format!("there is no frame of {name}"))
}

fn load(stage: &Stage, url: &str, shape: &str) -> Result<Load> {
    Load::start(stage, url, shape, &["--arrivals=uniform", "--timeout=5s", "--objective=1s"])
}
