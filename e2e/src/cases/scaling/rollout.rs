//! A rollout at the highest load.

use super::checkout;
use crate::cases::prelude::*;

const NAMESPACE: &str = "scale-rollout";
/// At 50 per replica: 3 replicas (the minimum is 4), then 6, until the rollout is over.
const SHAPE: &str = "140@6s,290@120s";

/// A Load and a Utilization, because the latter is an average over pods, which a surge dilutes. It is the share of a pod's
/// four workers that its answers of 50 ms took, so a stalling machine does not raise it.
const SPEC: &str = r#"kpis:
- {name: throughput, type: Load, query: 'sum(rate(http_requests_total{namespace="scale-rollout", app="checkout"}[8s]))', perReplica: "50"}
- name: occupancy
  type: Utilization
  query: 'avg by (pod) (sum by (pod) (rate(http_requests_total{namespace="scale-rollout", app="checkout"}[8s])) * 0.05 / 4)'
  target: "0.8"
behavior: {scaleDown: {stabilizationWindowSeconds: 0}}"#;

/// Six are correct. If surge pods counted as replicas, the result would be twelve or more: the load of six would be taken
/// for the load of each of twelve. After a stall of the machine the backlog is a real burst, which may ask for a few more
/// than six.
const MOST: i64 = 11;

pub fn run(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, NAMESPACE)?;
    let url = checkout::deploy(&test, 4)?;
    // The largest possible surge: every pod twice.
    let surge = json!({"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}});
    test.patch("deployment checkout", &json!({"spec": {"strategy": surge}}))?;
    test.apply(&checkout::service(NAMESPACE, 4, SPEC))?;
    test.wait_ready("checkout", Duration::from_secs(30))?;
    let deployment = test.follow("deployment", "checkout")?;
    let load = checkout::load(&test, &url, SHAPE)?;
    let grown = |seen: &Snapshot| seen.wanted() >= 6 && seen.number("/status/readyReplicas") >= 6;
    deployment.wait("grown for the spike", Duration::from_secs(30), grown)?;
    sleep(Duration::from_secs(2));
    test.kubectl("rollout restart deployment/checkout")?;
    test.rolled_out("checkout", Duration::from_secs(60))?;
    test.explain("checkout", &["throughput"])?;
    // Until the last old pod has drained.
    sleep(Duration::from_secs(7));
    let account = load.finish(true)?;
    let most_pods = deployment.all().iter().map(|seen| seen.number("/status/replicas")).max().unwrap_or(0);
    let wanted = deployment.wanted();
    ensure!(most_pods >= 12, "there was no surge of every pod: {most_pods} pods at the most");
    let few = wanted.iter().all(|wanted| *wanted <= MOST);
    ensure!(few, "290 requests/s ask for 6 replicas, after a stall {MOST} at most; wanted were {wanted:?}");
    ensure!(account.lost() == 0, "{} of {} requests were lost", account.lost(), account.sent);
    let careless = checkout::careless(&test)?;
    let p99 = account.p99.unwrap_or_default() * 1e3;
    requests(account.sent, account.lost(), careless);
    Ok(format!("wanted {wanted:?} with {most_pods} pods at the height of the surge; p99 {p99:.0} ms"))
}
