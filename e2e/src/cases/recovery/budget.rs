//! Five replicas of ten answer errors; the control is the same service with a larger budget.

use super::{EJECTED_WITHIN, ERRORS, ejected, setup};
use crate::cases::prelude::*;
use std::collections::BTreeSet;

const SETUP: Setup = setup(
    "recovery-budget",
    r#"recovery:
  outliers:
    kpiByPod:
      query: |
        sum by (pod) (rate(http_requests_total{namespace="recovery-budget",app="shop",code="500"}[3s]))
        / sum by (pod) (rate(http_requests_total{namespace="recovery-budget",app="shop"}[3s]))
      requestVolume: 20
      atLeast: "0.05"
    maxEjectionPercent: 20"#,
);
const RATE: u32 = 100;
const BAD: usize = 5;
/// 20 % of ten.
const BUDGET: usize = 2;
/// Longer than one replacement; the next one starts only 15 s after it.
const WATCHED: Duration = Duration::from_secs(12);

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let test = &front.test;
    let flow = Flow::start(test.stage, &front.url, RATE, 60, &[])?;
    sleep(Duration::from_secs(5));
    let mut broke = SystemTime::now();
    for pod in pods(test, SHOP)?.iter().take(BAD) {
        broke = pod.fault(ERRORS)?;
    }
    let reported = front.service.wait("with its budget spent", EJECTED_WITHIN, |seen| {
        seen.says("ReplicasHealthy").starts_with("False EjectionBudgetSpent")
    })?;
    test.explain(SHOP, &["EjectionBudgetSpent", "not ejected", "and 2 may be"])?;
    sleep(WATCHED);
    let services: Vec<_> = front.service.all().into_iter().filter(|seen| seen.at >= broke).collect();
    let most = services.iter().map(|seen| ejected(seen, false).len()).max().unwrap_or_default();
    ensure!(most == BUDGET, "at most {most} were ejected at a time, not {BUDGET}");
    let targets: Vec<_> = front.target.all().into_iter().filter(|seen| seen.at >= broke).collect();
    let ready = targets.iter().map(|seen| seen.number("/status/readyReplicas")).min().unwrap_or(10);
    ensure!(ready >= 9, "only {ready} of 10 were ready: more than one was replaced at a time");
    let wanted: Vec<_> = targets.iter().map(|seen| seen.wanted()).filter(|wanted| *wanted != 10).collect();
    ensure!(wanted.is_empty(), "replicas became {wanted:?}");
    let replaced: BTreeSet<String> = services
        .iter()
        .flat_map(|seen| {
            let waiting = ejected(seen, false);
            ejected(seen, true).into_iter().filter(move |pod| !waiting.contains(pod))
        })
        .collect();
    ensure!(replaced.len() == 1, "{replaced:?} were replaced within {} s", WATCHED.as_secs());
    // The maximum of the spec: half of ten.
    let larger = json!({"spec": {"recovery": {"outliers": {"maxEjectionPercent": 50}}}});
    test.patch(&format!("scalableservice {SHOP}"), &larger)?;
    front.service.wait("with more than two ejected under the larger budget", EJECTED_WITHIN * 2, |seen| {
        ejected(seen, false).len() > BUDGET
    })?;
    let account = flow.finish(true)?;
    account.some_lost("five of ten answer errors")?;
    figure("first error until the condition, s", seconds(broke, reported.at));
    count("most replicas ejected at a time", most);
    count("replaced", replaced.len());
    count("fewest ready", ready.unsigned_abs());
    Ok(reported.says("ReplicasHealthy"))
}
