//! Prometheus answers well, but does not see the pods any more.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    super::{Case, Theatre},
    film::{condition, number},
    scene::{LASTS, NAMESPACE, RANGE, RECOVERY, Scene, TWIN, lowest, play},
    table::Row,
};
use crate::stage::Stage;
use anyhow::{Result, ensure};

/// The case.
pub const HALF: Case = Case {
    name: "outage-half-scraped",
    must: "half of the pods are not scraped, and Prometheus says success: replicas hold, the status counts targets",
    run: |theatre| {
        play(theatre, |scene| {
            let row = unscraped(theatre, scene, "half scraped", 2)?;
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
    run: |theatre| {
        play(theatre, |scene| {
            let twin = number(&scene.twin.last()?, "/spec/replicas");
            let row = unscraped(theatre, scene, "not scraped", 1)?;
            let fell = lowest(&theatre.stage, &scene.twin, TWIN, row.began)?;
            // The negative control: the same film, load and fault show a scale-down where there is one.
            ensure!(
                twin == 3 && fell == 1,
                "the twin's replicas went from {twin} to {fell}, not from 3 to 1"
            );
            Ok(format!("{}; twin with onEmpty: Zero {twin} -> {fell}", row.row.line()))
        })
    },
};

struct Unscraped {
    began: Instant,
    row: Row,
}

/// Takes the annotation from every `each`th pod, and puts it back.
fn unscraped(theatre: &Theatre, scene: &mut Scene, fault: &str, each: usize) -> Result<Unscraped> {
    let stage = &theatre.stage;
    let before = scene.replicas()?;
    let pods: Vec<String> = shop_pods(stage)?.into_iter().step_by(each).collect();
    let began = Instant::now();
    let hidden = Hidden::from_prometheus(stage, pods)?;
    let told = scene.ready_says("False", began, Duration::from_secs(8))?;
    // Until the range of the queries has none of their samples any more, and a bit.
    sleep((LASTS + Duration::from_secs(3)).saturating_sub(began.elapsed()));
    let service = scene.service.last()?;
    let said = condition(&service, "MetricsAvailable");
    ensure!(said.status == "False", "MetricsAvailable is {} {} during the outage", said.status, said.reason);
    drop(hidden);
    let healed = Instant::now();
    let recovered = scene.ready_says("True", healed, RECOVERY)?;
    // While the range fills again, a rate is too low.
    sleep((RANGE + Duration::from_secs(2)).saturating_sub(healed.elapsed()));
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

/// Pods that Prometheus does not scrape until this value is dropped.
struct Hidden<'a> {
    stage: &'a Stage,
    pods: Vec<String>,
}

impl<'a> Hidden<'a> {
    fn from_prometheus(stage: &'a Stage, pods: Vec<String>) -> Result<Self> {
        let hidden = Self { stage, pods };
        hidden.annotate("prometheus.io/scrape-")?;
        Ok(hidden)
    }

    fn annotate(&self, annotation: &str) -> Result<()> {
        let mut arguments = vec!["--namespace", NAMESPACE, "annotate", "--overwrite", "pod"];
        arguments.extend(self.pods.iter().map(String::as_str));
        arguments.push(annotation);
        self.stage.cluster.kubectl(&arguments).map(drop)
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A failure shows: the service does not recover.
        let _ = self.annotate("prometheus.io/scrape=true");
    }
}

fn shop_pods(stage: &Stage) -> Result<Vec<String>> {
    let arguments = ["--namespace", NAMESPACE, "get", "pods", "--selector=app=shop", "--output=name"];
    let names = stage.cluster.kubectl(&arguments)?;
    Ok(names.lines().map(|name| name.trim_start_matches("pod/").to_owned()).collect())
}
