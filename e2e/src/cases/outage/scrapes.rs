//! Prometheus answers well, but does not see the pods any more.

use super::state::{NAMESPACE, Outage, RANGE, RECOVERY, TWIN, lowest, play};
use crate::{cases::prelude::*, stage::Stage};

pub const HALF: Case = Case {
    name: "outage-half-scraped",
    must: "half of the pods are not scraped, and Prometheus says success: replicas hold, the status counts targets",
    lane: Lane::Alone,
    run: |fixture| {
        play(fixture, |outage| {
            let (began, line) = unscraped(fixture, outage, 2, |_, _, _| Ok(()))?;
            let complaints: Vec<_> = outage.complaints(began).iter().map(|said| said.says("Ready")).collect();
            let counted = complaints.iter().any(|said| said.contains("scrape targets answered, where"));
            ensure!(counted, "no message counts the targets: {complaints:?}");
            Ok(line)
        })
    },
};

pub const ALL: Case = Case {
    name: "outage-scrape",
    must: "no pod is scraped: replicas hold; those of a twin with onEmpty: Zero fall, as its user asked for",
    lane: Lane::Alone,
    run: |fixture| {
        play(fixture, |outage| {
            let twin = outage.twin.last()?.wanted();
            ensure!(twin == 3, "the twin has {twin} replicas, not 3");
            // The negative control: the same watch, load and fault show a scale-down where there is one.
            let (began, line) = unscraped(fixture, outage, 1, |outage, hidden, began| {
                twin_falls(fixture, outage, hidden, began)
            })?;
            let fell = lowest(&fixture.stage, &outage.twin, TWIN, began)?;
            Ok(format!("{line}; twin with onEmpty: Zero {twin} -> {fell}"))
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

/// Takes the annotation from every `each`th pod, and puts it back once `seen` is, too. Returns when that began, and what
/// came of it.
fn unscraped(
    fixture: &Fixture,
    outage: &Outage,
    each: usize,
    seen: impl FnOnce(&Outage, &mut Hidden<'_>, SystemTime) -> Result<()>,
) -> Result<(SystemTime, String)> {
    let stage = &fixture.stage;
    let before = outage.replicas()?;
    let pods: Vec<String> = shop_pods(stage)?.into_iter().step_by(each).collect();
    let began = SystemTime::now();
    let mut hidden = Hidden::from_prometheus(stage, pods)?;
    let told = outage.ready_says("False", began, UNSEEN)?;
    // Until the range of the queries has none of their samples any more, and a bit.
    sleep(RANGE + Duration::from_secs(3));
    seen(outage, &mut hidden, began)?;
    let available = outage.service.last()?.says("MetricsAvailable");
    ensure!(available.starts_with("False"), "MetricsAvailable is {available} during the outage");
    fixture.explain(NAMESPACE, SHOP, &["throughput"])?;
    drop(hidden);
    let healed = SystemTime::now();
    let recovered = outage.ready_says("True", healed, DISCOVERED + RECOVERY)?;
    // While the range fills again, a rate is too low.
    sleep(RANGE + Duration::from_secs(2));
    let complaints = outage.complaints(began);
    let reason = complaints.last().map(|said| said.condition("Ready").text("/reason")).unwrap_or_default();
    let told = format!("{reason} after {told:.1} s");
    let (lowest, line) = outage.outcome(stage, (before, began), &told, recovered)?;
    ensure!(lowest >= before, "{before} replicas fell to {lowest}: {}", outage.decisions());
    // The backlog is scraped from other pods.
    ensure!(reason == "MetricsIncomplete", "Ready says {reason}");
    Ok((began, line))
}

/// Waits until no answer means no load to the twin, and keeps a pod of the shop that is started meanwhile from answering.
fn twin_falls(fixture: &Fixture, outage: &Outage, hidden: &mut Hidden<'_>, began: SystemTime) -> Result<()> {
    while began.elapsed()? < FALLS {
        if outage.twin.last()?.wanted() == 1 {
            return fixture.explain(NAMESPACE, TWIN, &["throughput asks for only 0", "minReplicas is 1"]);
        }
        hidden.those_that_came()?;
        sleep(Duration::from_millis(500));
    }
    let service = fixture.stage.cluster.get(NAMESPACE, "scalableservice", TWIN)?;
    let status = service.get("status").unwrap_or(&Value::Null);
    bail!("the twin did not fall within {} s: {status}", FALLS.as_secs())
}

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
    let words = format!("annotate --overwrite pod {} {annotation}", pods.join(" "));
    stage.cluster.kubectl_in(NAMESPACE, &words).map(drop)
}

fn shop_pods(stage: &Stage) -> Result<Vec<String>> {
    let pods = stage.cluster.list(NAMESPACE, "pods --selector=app=shop")?;
    // One that is on its way out may be gone before it is annotated.
    Ok(pods.iter().filter(|pod| !pod.is_going()).map(|pod| pod.text("/metadata/name").to_owned()).collect())
}
