//! Prometheus answers well, but does not see the pods any more.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    super::{Case, Lane, Theatre},
    film::{condition, number, text},
    scene::{NAMESPACE, RANGE, RECOVERY, SHOP, Scene, TWIN, lowest, play},
    table::Row,
};
use crate::stage::Stage;
use anyhow::{Result, bail, ensure};
use serde_json::Value;

/// The case.
pub const HALF: Case = Case {
    name: "outage-half-scraped",
    must: "half of the pods are not scraped, and Prometheus says success: replicas hold, the status counts targets",
    lane: Lane::Alone,
    run: |theatre| {
        play(theatre, |scene| {
            let row = unscraped(theatre, scene, "half scraped", 2, |_, _, _| Ok(()))?;
            let complaints = scene.complaints(row.began);
            let counted =
                complaints.iter().any(|said| said.message.contains("scrape targets answered, where"));
            ensure!(counted, "no message counts the targets: {complaints:?}");
            Ok(row.row.line())
        })
    },
};

/// The case.
pub const ALL: Case = Case {
    name: "outage-scrape",
    must: "no pod is scraped: replicas hold; those of a twin with onEmpty: Zero fall, as its user asked for",
    lane: Lane::Alone,
    run: |theatre| {
        play(theatre, |scene| {
            let twin = number(&scene.twin.last()?, "/spec/replicas");
            ensure!(twin == 3, "the twin has {twin} replicas, not 3");
            // The negative control: the same film, load and fault show a scale-down where there is one.
            let row = unscraped(theatre, scene, "not scraped", 1, |scene, hidden, began| {
                twin_falls(theatre, scene, hidden, began)
            })?;
            let fell = lowest(&theatre.stage, &scene.twin, TWIN, row.began)?;
            Ok(format!("{}; twin with onEmpty: Zero {twin} -> {fell}", row.row.line()))
        })
    },
};

/// Prometheus hands on what it discovers every 5 s, and takes it up every 5 s.
const DISCOVERED: Duration = Duration::from_secs(10);
/// Time within which it shows that pods are not scraped, also one that was started meanwhile: until the last scrape is
/// behind the range, and some looks.
const UNSEEN: Duration = Duration::from_secs(60);

/// Time within which no answer means no load to the twin: the same, and the minute for which a burst of the case before
/// keeps replicas.
const FALLS: Duration = Duration::from_secs(120);

struct Unscraped {
    began: Instant,
    row: Row,
}

/// Takes the annotation from every `each`th pod, and puts it back once `seen` is, too.
fn unscraped(
    theatre: &Theatre,
    scene: &mut Scene,
    fault: &str,
    each: usize,
    seen: impl FnOnce(&Scene, &mut Hidden<'_>, Instant) -> Result<()>,
) -> Result<Unscraped> {
    let stage = &theatre.stage;
    let before = scene.replicas()?;
    let pods: Vec<String> = shop_pods(stage)?.into_iter().step_by(each).collect();
    let began = Instant::now();
    let mut hidden = Hidden::from_prometheus(stage, pods)?;
    let told = scene.ready_says("False", began, UNSEEN)?;
    // Until the range of the queries has none of their samples any more, and a bit.
    sleep(RANGE + Duration::from_secs(3));
    seen(scene, &mut hidden, began)?;
    let service = scene.service.last()?;
    let said = condition(&service, "MetricsAvailable");
    ensure!(said.status == "False", "MetricsAvailable is {} {} during the outage", said.status, said.reason);
    theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
    drop(hidden);
    let healed = Instant::now();
    let recovered = scene.ready_says("True", healed, DISCOVERED + RECOVERY)?;
    // While the range fills again, a rate is too low.
    sleep(RANGE + Duration::from_secs(2));
    let row = Row {
        fault: fault.into(),
        states: scene.states(began),
        before,
        lowest: scene.lowest(stage, began)?,
        condition: scene.complaints(began).last().map(|said| said.reason.clone()).unwrap_or_default(),
        told: Some(told),
        recovered: Some(recovered),
    };
    scene.rows.push(row.clone());
    ensure!(row.lowest >= before, "{before} replicas fell to {}: {}", row.lowest, scene.decisions());
    // The backlog is scraped from other pods.
    ensure!(row.condition == "MetricsIncomplete", "Ready says {}", row.condition);
    Ok(Unscraped { began, row })
}

/// Waits until no answer means no load to the twin, and keeps a pod of the shop that is started meanwhile from answering.
fn twin_falls(theatre: &Theatre, scene: &Scene, hidden: &mut Hidden<'_>, began: Instant) -> Result<()> {
    while began.elapsed() < FALLS {
        if number(&scene.twin.last()?, "/spec/replicas") == 1 {
            return theatre.explain(NAMESPACE, TWIN, &["throughput asks for only 0", "minReplicas is 1"]);
        }
        hidden.those_that_came()?;
        sleep(Duration::from_millis(500));
    }
    let status = theatre.stage.get(NAMESPACE, "scalableservice", TWIN)?;
    let at = |path: &str| status.pointer(path).cloned().unwrap_or_default();
    bail!(
        "the twin did not fall within {} s: it sees {}, and decided {}",
        FALLS.as_secs(),
        at("/status/kpis"),
        at("/status/decisions/0")
    )
}

/// Pods that Prometheus does not scrape until this value is dropped.
struct Hidden<'a> {
    stage: &'a Stage,
    pods: Vec<String>,
}

impl<'a> Hidden<'a> {
    fn from_prometheus(stage: &'a Stage, pods: Vec<String>) -> Result<Self> {
        let hidden = Self { stage, pods };
        annotate(stage, &hidden.pods, "prometheus.io/scrape-")?;
        Ok(hidden)
    }

    /// All pods of the shop, with those that were started since.
    fn those_that_came(&mut self) -> Result<()> {
        let new: Vec<_> = shop_pods(self.stage)?.into_iter().filter(|pod| !self.pods.contains(pod)).collect();
        if !new.is_empty() {
            annotate(self.stage, &new, "prometheus.io/scrape-")?;
            self.pods.extend(new);
        }
        Ok(())
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A failure shows: the service does not recover.
        let _ = annotate(self.stage, &self.pods, "prometheus.io/scrape=true");
    }
}

fn annotate(stage: &Stage, pods: &[String], annotation: &str) -> Result<()> {
    let mut arguments = vec!["--namespace", NAMESPACE, "annotate", "--overwrite", "pod"];
    arguments.extend(pods.iter().map(String::as_str));
    arguments.push(annotation);
    stage.cluster.kubectl(&arguments).map(drop)
}

fn shop_pods(stage: &Stage) -> Result<Vec<String>> {
    let arguments = ["--namespace", NAMESPACE, "get", "pods", "--selector=app=shop", "--output=json"];
    let list: Value = serde_json::from_str(&stage.cluster.kubectl(&arguments)?)?;
    let pods = list.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default();
    // One that is on its way out may be gone before it is annotated.
    let stay = pods.iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
    Ok(stay.map(|pod| text(pod, "/metadata/name")).collect())
}
