//! A rollout while the load is at its highest.

use super::checkout;
use crate::cases::prelude::*;

const NAMESPACE: &str = "scale-rollout";
/// At 50 a replica: 3 replicas (the minimum is 4), then 6, cut short when the rollout is over.
const SHAPE: &str = "140@6s,290@120s";

/// A Load and a Utilization, since the latter is an average over pods, which a surge dilutes: the share of its four
/// workers that a pod's answers of 50 ms took, which a machine that stalls does not drive up.
const SPEC: &str = r#"kpis:
- {name: throughput, type: Load, query: 'sum(rate(http_requests_total{namespace="scale-rollout", app="checkout"}[8s]))', perReplica: "50"}
- name: occupancy
  type: Utilization
  query: 'avg by (pod) (sum by (pod) (rate(http_requests_total{namespace="scale-rollout", app="checkout"}[8s])) * 0.05 / 4)'
  target: "0.8"
behavior: {scaleDown: {stabilizationWindowSeconds: 0}}"#;

/// Six are right. Surge pods that were counted would make twelve or more: what is served by six is taken for the work
/// of each of twelve. A machine that stalls is a real burst when it goes on, which may ask for some more: fewer than
/// that.
const MOST: i64 = 11;

pub fn run(fixture: &Fixture) -> Result<String> {
    let test_namespace = TestNamespace::open(fixture, NAMESPACE)?;
    let url = checkout::deploy(&test_namespace, 4)?;
    // The worst surge that there is: every pod twice.
    let surge = json!({"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}});
    test_namespace.patch("deployment checkout", &json!({"spec": {"strategy": surge}}))?;
    test_namespace.apply(&checkout::service(NAMESPACE, 4, SPEC))?;
    test_namespace.wait_ready("checkout", Duration::from_secs(30))?;
    let deployment = test_namespace.follow("deployment", "checkout")?;
    let load = checkout::load(&test_namespace, &url, SHAPE)?;
    let grown = |snapshot: &Snapshot| snapshot.wanted() >= 6 && snapshot.number("/status/readyReplicas") >= 6;
    deployment.wait("grown for the spike", Duration::from_secs(30), grown)?;
    sleep(Duration::from_secs(2));
    test_namespace.kubectl("rollout restart deployment/checkout")?;
    test_namespace.rolled_out("checkout", Duration::from_secs(60))?;
    test_namespace.explain("checkout", &["throughput"])?;
    // Until the last of the old pods has drained.
    sleep(Duration::from_secs(7));
    let account = load.finish(true)?;
    let most_pods =
        deployment.all().iter().map(|snapshot| snapshot.number("/status/replicas")).max().unwrap_or(0);
    let wanted = deployment.wanted();
    ensure!(most_pods >= 12, "there was no surge of every pod: {most_pods} pods at the most");
    let few = wanted.iter().all(|wanted| *wanted <= MOST);
    ensure!(few, "290 requests/s ask for 6 replicas, after a stall {MOST} at most; wanted were {wanted:?}");
    ensure!(account.lost() == 0, "{} of {} requests were lost", account.lost(), account.sent);
    let careless = checkout::careless(&test_namespace)?;
    let p99 = account.p99.unwrap_or_default() * 1e3;
    requests(account.sent, account.lost(), careless);
    Ok(format!("wanted {wanted:?} with {most_pods} pods at the height of the surge; p99 {p99:.0} ms"))
}
