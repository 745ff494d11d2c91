//! A rollout while the load is at its highest.

use std::{thread::sleep, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    cases::{Theatre, scene::Scene},
    stage::{Load, Shop},
};

const NAMESPACE: &str = "scale-rollout";
/// At 50 a replica: 3 replicas (the minimum is 4), then 6.
const SHAPE: &str = "140@6s,290@34s";

/// A Load and a Utilization, since the latter is an average over pods, which a surge dilutes.
const SERVICE: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: checkout, namespace: scale-rollout}
spec:
  scaleTargetRef: {kind: Deployment, name: checkout}
  minReplicas: 4
  maxReplicas: 20
  period: 1s
  kpis:
  - {name: throughput, type: Load, query: 'sum(rate(http_requests_total{namespace="scale-rollout"}[8s]))', perReplica: "50"}
  - name: occupancy
    type: Utilization
    query: 'avg by (pod) (avg_over_time(http_requests_in_flight{namespace="scale-rollout"}[8s])) / 4'
    target: "0.8"
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
"#;

pub fn run(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, NAMESPACE)?;
    let shop = Shop {
        namespace: NAMESPACE,
        name: "checkout",
        replicas: 4,
        workers: 4,
        service_time: "50ms",
        startup: "1s",
        more: &["--queue-limit=400"],
    };
    shop.deploy(scene.stage)?;
    // The worst surge that there is: every pod twice.
    let surge = r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":"100%","maxUnavailable":0}}}}"#;
    scene.kubectl(&["patch", "deployment", "checkout", "--patch", surge])?;
    scene.apply(SERVICE)?;
    scene.wait_ready("checkout", Duration::from_secs(30))?;
    let deployment = scene.follow("deployment", "checkout")?;
    let load = Load::start(
        scene.stage,
        &shop.url(scene.stage)?,
        SHAPE,
        &["--arrivals=uniform", "--timeout=5s", "--requests-per-connection=1"],
    )?;
    deployment.wait("grown for the spike", Duration::from_secs(20), |sight| sight.wanted() >= 6)?;
    sleep(Duration::from_secs(2));
    scene.kubectl(&["rollout", "restart", "deployment/checkout"])?;
    scene.kubectl(&["rollout", "status", "deployment/checkout", "--timeout=30s"])?;
    let account = load.finish(false)?;
    let most_pods = deployment.all().iter().map(|sight| sight.number("/status/replicas")).max().unwrap_or(0);
    let wanted = deployment.wanted();
    let lost = account.http_errors + account.transport_errors;
    ensure!(most_pods > 6, "there was no surge: {most_pods} pods at the most");
    ensure!(
        wanted.iter().all(|wanted| *wanted <= 6),
        "290 requests/s ask for 6 replicas; wanted were {wanted:?}"
    );
    ensure!(lost == 0, "{lost} of {} requests were lost", account.sent);
    let p99 = account.p99.unwrap_or_default() * 1e3;
    Ok(format!(
        "wanted {wanted:?} with {most_pods} pods at the height of the surge; {} requests, none lost, p99 {p99:.0} ms",
        account.sent
    ))
}
