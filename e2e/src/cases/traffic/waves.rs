//! An upgrade of the operator changes the balancers of every service; they are rolled out in waves.

use crate::{
    cases::{install, prelude::*},
    stage::{Install, Shop, service_url},
};
use std::fmt::Write as _;

const NAMESPACE: &str = "traffic-waves";
/// The services and their criticality, in the order of the rollout.
const SERVICES: [(&str, &str); 6] = [
    ("ads", "Sheddable"),
    ("trends", "Sheddable"),
    ("reviews", "SheddablePlus"),
    ("cart", "Critical"),
    ("search", "Critical"),
    ("checkout", "CriticalPlus"),
];
const AT_ONCE: usize = 2;
/// Requests a second on kept and, as many, on fresh connections, over all services.
const RATE: u32 = 60;
const SECONDS: u32 = 300;
const ROLLED_WITHIN: Duration = Duration::from_secs(150);

pub fn run(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, NAMESPACE)?;
    let seen = upgrades(&test);
    // Deleted first: otherwise reinstalling the release would roll out these balancers again.
    drop(test);
    fixture.stage.install(&install())?;
    seen
}

fn upgrades(test: &TestNamespace<'_>) -> Result<String> {
    let urls = serve(test)?;
    let (first, others) = urls.split_first().context("there is no service")?;
    let others: Vec<_> = others.iter().map(|url| format!("--target={url}")).collect();
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    let follow = |(name, _)| Ok((name, test.follow("deployment", &format!("{name}-lb"))?));
    let fronts: Vec<_> = SERVICES.into_iter().map(follow).collect::<Result<_>>()?;

    let flow = Flow::start(test.stage, first, RATE, SECONDS, &others)?;
    let (most, took, order) = upgrade(test, &fronts, "waves", AT_ONCE)?;
    let account = flow.finish(true)?;
    test.explain("checkout", &["2/2 in sync"])?;
    let (unlimited, at_once, _) = upgrade(test, &fronts, "control", SERVICES.len())?;

    ensure!(most <= AT_ONCE, "{most} services were rolled out at the same time");
    ensure!(unlimited > AT_ONCE, "control: only {unlimited} at the same time, so nothing is proven");
    let due = SERVICES.map(|(name, _)| name);
    // Two begin at the same time; either may be observed first.
    let first = |order: &[&'static str]| order.iter().take(AT_ONCE).copied().collect::<BTreeSet<_>>();
    ensure!(first(&order) == first(&due) && order.last() == due.last(), "the order was {order:?}");
    account.none_lost("an upgrade in waves")?;
    Ok(format!(
        "at most {most} of 6 at a time in {took:.0} s, in the order {order:?}; {} requests, none lost; control: {unlimited} \
         at a time in {at_once:.0} s",
        account.sent
    ))
}

fn serve(test: &TestNamespace<'_>) -> Result<Vec<String>> {
    let mut manifest = String::new();
    for (name, criticality) in SERVICES {
        let shop = Shop { workers: 16, service_time: "5ms", ..Shop::of(NAMESPACE, name, 1) };
        manifest += &shop.manifest(&test.stage.built.shop_image);
        let _ = write!(
            manifest,
            "---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  criticality: {criticality}
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
  minReplicas: 1
  maxReplicas: 2
  period: 5s
  kpis: [{{name: load, type: Load, query: vector(1), perReplica: \"10\"}}]
  traffic:
    provider: HAProxy
    targetPort: 8080
    listeners: [{{port: 80}}]
    drain: {{timeout: 5s}}
    container: {{resources: {{requests: {{cpu: 10m, memory: 32Mi}}}}}}
"
        );
    }
    test.apply(&manifest)?;
    for (name, _) in SERVICES {
        let watch_log = test.follow("scalableservice", name)?;
        watch_log.wait("with two balancers in sync", Duration::from_secs(90), |snapshot| {
            snapshot.is("TrafficSynced") && snapshot.number("/status/traffic/readyBalancers") == 2
        })?;
    }
    SERVICES.iter().map(|(name, _)| service_url(test.stage, NAMESPACE, &format!("{name}-lb"), 80)).collect()
}

/// Upgrades the release so that all balancer pods change. Returns the most services that were rolled out at the same time,
/// the seconds to the end of the last rollout, and the services in the order of their begin.
fn upgrade(
    test: &TestNamespace<'_>,
    fronts: &[(&'static str, WatchLog)],
    mark: &str,
    at_once: usize,
) -> Result<(usize, f64, Vec<&'static str>)> {
    let begin = SystemTime::now();
    let settings = vec![
        format!("balancers.pod.annotations.upgrade={mark}"),
        format!("balancers.maxConcurrentRollouts={at_once}"),
    ];
    test.stage.install(&Install { settings, ..install() })?;
    let complete = |watch_log: &WatchLog| {
        watch_log.last().is_ok_and(|snapshot| snapshot.text(ANNOTATION) == mark && !is_rolling(&snapshot))
    };
    wait_for(&format!("the upgrade {mark} of all balancers"), ROLLED_WITHIN, || {
        Ok(fronts.iter().all(|(_, watch_log)| complete(watch_log)))
    })?;
    let took = seconds(begin, SystemTime::now());
    let mut snapshots: Vec<_> = fronts
        .iter()
        .flat_map(|(name, watch_log)| watch_log.all().into_iter().map(move |snapshot| (*name, snapshot)))
        .filter(|(_, snapshot)| snapshot.at >= begin)
        .collect();
    snapshots.sort_by_key(|(_, snapshot)| snapshot.at);
    let (mut most, mut order, mut rolling) = (0, Vec::new(), BTreeMap::new());
    for (name, snapshot) in &snapshots {
        if snapshot.text(ANNOTATION) == mark && !order.contains(name) {
            order.push(*name);
        }
        rolling.insert(*name, is_rolling(snapshot));
        most = most.max(rolling.values().filter(|is| **is).count());
    }
    Ok((most, took, order))
}

const ANNOTATION: &str = "/spec/template/metadata/annotations/upgrade";

/// Whether the Deployment has old pods, or new pods that are not available.
fn is_rolling(snapshot: &Snapshot) -> bool {
    let wanted = snapshot.wanted();
    let all = ["/status/updatedReplicas", "/status/availableReplicas", "/status/replicas"];
    snapshot.number("/status/observedGeneration") < snapshot.generation()
        || all.iter().any(|field| snapshot.number(field) != wanted)
}
