//! Prometheus answers queries, but no longer scrapes the pods.

use super::state::{NAMESPACE, Outage, RANGE, RECOVERY, TWIN, lowest, play};
use crate::{cases::prelude::*, stage::Stage};

pub const HALF: Case = Case {
    name: "outage-half-scraped",
    must: "half of the pods not scraped, queries succeed: replicas stay, status counts the scrape targets",
    lane: Lane::Alone,
    run: |fixture| {
        play(fixture, |outage| {
            let (began, line) = unscraped(fixture, outage, 2, |_, _, _| Ok(()))?;
            let complaints: Vec<_> = outage.complaints(began).iter().map(|last| last.says("Ready")).collect();
            let counted = complaints.iter().any(|text| text.contains("expected scrape targets answered"));
            ensure!(counted, "no message has the number of targets: {complaints:?}");
            Ok(line)
        })
    },
};

pub const ALL: Case = Case {
    name: "outage-scrape",
    must: "no pod scraped: replicas stay; those of a twin with onEmpty: Zero fall, as configured",
    lane: Lane::Alone,
    run: |fixture| {
        play(fixture, |outage| {
            let twin = outage.twin.last()?.wanted();
            ensure!(twin == 3, "the twin has {twin} replicas, not 3");
            // Negative control: the same watch, load and fault show a scale-down of the twin.
            let (began, line) = unscraped(fixture, outage, 1, |outage, hidden, began| {
                twin_falls(fixture, outage, hidden, began)
            })?;
            let fell = lowest(&fixture.stage, &outage.twin, TWIN, began)?;
            Ok(format!("{line}; twin with onEmpty: Zero {twin} -> {fell}"))
        })
    },
};

/// Prometheus' discovery publishes targets every 5 s, and the scrape manager reloads them every 5 s.
const DISCOVERED: Duration = Duration::from_secs(10);
/// Time until the status reports missing scrapes, also of a pod that started meanwhile: the last scrape leaves the range of
/// the query, and some evaluations.
const UNSEEN: Duration = Duration::from_secs(60);
/// Time until the twin takes the empty answer for zero load: the same, and the minute for which a burst of the previous case
/// keeps the replicas.
const FALLS: Duration = Duration::from_secs(120);

/// Removes the annotation from every `each`th pod, runs `seen`, and restores it. Returns the begin of the outage and a
/// summary.
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
    let reported = outage.ready_says("False", began, UNSEEN)?;
    // Until none of their samples is within the range of the queries, with a margin.
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
    let reason = complaints.last().map(|state| state.condition("Ready").text("/reason")).unwrap_or_default();
    let reported = format!("{reason} after {reported:.1} s");
    let (lowest, line) = outage.outcome(stage, (before, began), &reported, recovered)?;
    ensure!(lowest >= before, "{before} replicas fell to {lowest}: {}", outage.decisions());
    // The backlog is scraped from other pods.
    ensure!(reason == "MetricsIncomplete", "the reason of Ready is {reason}");
    Ok((began, line))
}

/// Waits until the twin takes the empty answer for zero load; pods of the shop that start meanwhile are hidden too.
fn twin_falls(fixture: &Fixture, outage: &Outage, hidden: &mut Hidden<'_>, began: SystemTime) -> Result<()> {
    while began.elapsed()? < FALLS {
        if outage.twin.last()?.wanted() == 1 {
            return fixture.explain(NAMESPACE, TWIN, &["throughput asks for only 0", "minReplicas is 1"]);
        }
        hidden.hide_new()?;
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

    fn hide_new(&mut self) -> Result<()> {
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
        // A failure fails the case: the service does not recover.
        let _ = annotate(self.stage, &self.pods, "prometheus.io/scrape=true");
    }
}

fn annotate(stage: &Stage, pods: &[String], annotation: &str) -> Result<()> {
    let words = format!("annotate --overwrite pod {} {annotation}", pods.join(" "));
    stage.cluster.kubectl_in(NAMESPACE, &words).map(drop)
}

fn shop_pods(stage: &Stage) -> Result<Vec<String>> {
    let pods = stage.cluster.list(NAMESPACE, "pods --selector=app=shop")?;
    // A terminating pod may be deleted before it is annotated.
    Ok(pods.iter().filter(|pod| !pod.is_going()).map(|pod| pod.text("/metadata/name").to_owned()).collect())
}
