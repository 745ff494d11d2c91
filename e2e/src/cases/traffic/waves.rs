//! An upgrade of the operator changes the balancers of every service: they are rolled out in waves.

use crate::{
    cases::{install, prelude::*},
    stage::{Install, Shop, service_url},
};
use std::fmt::Write as _;

const NAMESPACE: &str = "traffic-waves";
/// The services and their criticality, in the order in which their balancers are due.
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

pub fn run(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, NAMESPACE)?;
    let seen = upgrades(&scene);
    // Or the release that the next cases find would begin by rolling out these balancers, too.
    drop(scene);
    theatre.stage.install(&install())?;
    seen
}

fn upgrades(scene: &Scene<'_>) -> Result<String> {
    let urls = serve(scene)?;
    let (first, others) = urls.split_first().context("there is no service")?;
    let others: Vec<_> = others.iter().map(|url| format!("--target={url}")).collect();
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    let follow = |(name, _)| Ok((name, scene.follow("deployment", &format!("{name}-lb"))?));
    let fronts: Vec<_> = SERVICES.into_iter().map(follow).collect::<Result<_>>()?;

    let flow = Flow::start(scene.stage, first, RATE, SECONDS, &others)?;
    let (most, took, order) = upgrade(scene, &fronts, "waves", AT_ONCE)?;
    let account = flow.finish(true)?;
    scene.explain("checkout", &["2/2 in sync"])?;
    let (unlimited, at_once, _) = upgrade(scene, &fronts, "control", SERVICES.len())?;

    ensure!(most <= AT_ONCE, "{most} services were rolled out at the same time");
    ensure!(unlimited > AT_ONCE, "control: {unlimited} at the same time, so waves are not seen");
    let due = SERVICES.map(|(name, _)| name);
    // Two begin at the same time, and either may be seen first.
    let first = |order: &[&'static str]| order.iter().take(AT_ONCE).copied().collect::<BTreeSet<_>>();
    ensure!(first(&order) == first(&due) && order.last() == due.last(), "the order was {order:?}");
    account.none_lost("an upgrade in waves")?;
    Ok(format!(
        "at most {most} of 6 at a time in {took:.0} s, in the order {order:?}; {} requests, none lost; control: {unlimited} \
         at a time in {at_once:.0} s",
        account.sent
    ))
}

fn serve(scene: &Scene<'_>) -> Result<Vec<String>> {
    let mut manifest = String::new();
    for (name, criticality) in SERVICES {
        let shop = Shop { workers: 16, service_time: "5ms", ..Shop::of(NAMESPACE, name, 1) };
        manifest += &shop.manifest(&scene.stage.built.shop_image);
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
    scene.apply(&manifest)?;
    for (name, _) in SERVICES {
        let trail = scene.follow("scalableservice", name)?;
        trail.wait("with two balancers in sync", Duration::from_secs(90), |sight| {
            sight.is("TrafficSynced") && sight.number("/status/traffic/readyBalancers") == 2
        })?;
    }
    SERVICES.iter().map(|(name, _)| service_url(scene.stage, NAMESPACE, &format!("{name}-lb"), 80)).collect()
}

/// Upgrades the release so that every balancer's pods change. Returns most services that were rolled out at the same time,
/// the seconds to the end of the last rollout, and the services in the order in which they began.
fn upgrade(
    scene: &Scene<'_>,
    fronts: &[(&'static str, Trail)],
    mark: &str,
    at_once: usize,
) -> Result<(usize, f64, Vec<&'static str>)> {
    let begin = SystemTime::now();
    let settings = vec![
        format!("balancers.pod.annotations.upgrade={mark}"),
        format!("balancers.maxConcurrentRollouts={at_once}"),
    ];
    scene.stage.install(&Install { settings, ..install() })?;
    let complete =
        |trail: &Trail| trail.last().is_ok_and(|sight| sight.text(ANNOTATION) == mark && !is_rolling(&sight));
    wait_for(&format!("the upgrade {mark} of all balancers"), ROLLED_WITHIN, || {
        Ok(fronts.iter().all(|(_, trail)| complete(trail)))
    })?;
    let took = seconds(begin, SystemTime::now());
    let mut sights: Vec<_> = fronts
        .iter()
        .flat_map(|(name, trail)| trail.all().into_iter().map(move |sight| (*name, sight)))
        .filter(|(_, sight)| sight.at >= begin)
        .collect();
    sights.sort_by_key(|(_, sight)| sight.at);
    let (mut most, mut order, mut rolling) = (0, Vec::new(), BTreeMap::new());
    for (name, sight) in &sights {
        if sight.text(ANNOTATION) == mark && !order.contains(name) {
            order.push(*name);
        }
        rolling.insert(*name, is_rolling(sight));
        most = most.max(rolling.values().filter(|is| **is).count());
    }
    Ok((most, took, order))
}

const ANNOTATION: &str = "/spec/template/metadata/annotations/upgrade";

/// Whether some of the Deployment's pods are old, or some of the new ones not available.
fn is_rolling(sight: &Sight) -> bool {
    let wanted = sight.wanted();
    let all = ["/status/updatedReplicas", "/status/availableReplicas", "/status/replicas"];
    sight.number("/status/observedGeneration") < sight.generation()
        || all.iter().any(|field| sight.number(field) != wanted)
}
