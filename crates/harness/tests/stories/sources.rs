//! Services that share a source, and sources that share an operator: a slow source or service does not delay the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use plimsoll_harness::{
    apiserver::{Effect, Scope},
    history::{History, Version},
    prometheus::{Outage, Value},
    world::World,
};
use tokio::time::sleep;

use crate::manifests::{DialService, deployment, dial};

const NAMESPACE: &str = "sources";
/// A delay beyond the timeout of a source (5 s).
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(10);

fn is_ready(service: &Version) -> bool {
    service.condition("Ready").starts_with("True")
}

/// The service `web` has a turn every second, however long other services wait, and its replicas follow its load.
async fn turns_go_on(world: &World) {
    let queries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&queries);
    world.prometheus.script(&dial(NAMESPACE), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Value::Number(15.0)
    });
    sleep(Duration::from_secs(60)).await;
    // Each turn queries the value and its evidence.
    let turns = queries.load(Ordering::Relaxed) / 2;
    assert!(turns >= 45, "there were {turns} turns within a minute");
    world.prometheus.set(&dial(NAMESPACE), 35.0);
    let target = world.follow("deployments", NAMESPACE, "web");
    target.wait("raised in its next turn", Duration::from_secs(3), |target| target.replicas() == 4).await;
}

/// The service `web` with this period and the 2 replicas that its load needs. Returns its history once it is ready.
async fn web<'a>(world: &'a World, period: &str) -> History<'a> {
    deployment(world, NAMESPACE, "web", 2);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    DialService { period, ..DialService::on(NAMESPACE, "web") }.apply(world);
    let service = world.follow("scalableservices", NAMESPACE, "web");
    service.wait("ready", SOON, is_ready).await;
    service
}

/// The query of an objective of the service `greedy`.
fn costly(number: usize) -> String {
    format!("max(costly_{number})")
}

/// A service with this number of objectives, each with a query of its own that has this fault, and a turn every second.
fn greedy(world: &World, objectives: usize, fault: &Outage) {
    deployment(world, NAMESPACE, "greedy", 2);
    let kpi = |number| {
        world.prometheus.set(&costly(number), 1.0);
        world.prometheus.break_query(&costly(number), fault.clone());
        format!(r#"  - {{name: costly-{number}, type: Objective, query: "{}", atMost: "4"}}"#, costly(number))
    };
    let kpis: Vec<String> = (0..objectives).map(kpi).collect();
    world.objects.apply(&format!(
        "
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: greedy, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: greedy}}
  maxReplicas: 10
  period: 1s
  kpis:
{}
",
        kpis.join("\n")
    ));
}

#[tokio::test(start_paused = true)]
async fn service_with_timed_out_queries_does_not_block_its_source() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let period = Duration::from_secs(10);
    let service = web(&world, "10s").await;
    let target = world.follow("deployments", NAMESPACE, "web");
    greedy(&world, 12, &Outage::Slow(NEVER));
    service.stays("ready", Duration::from_secs(120), is_ready).await;
    world.prometheus.set(&dial(NAMESPACE), 35.0);
    target.wait("at 4 after a turn", period + Duration::from_secs(2), |target| target.replicas() == 4).await;
    // Control: the queries of `greedy` did time out, and its status reports that.
    let greedy = world.follow("scalableservices", NAMESPACE, "greedy").last().condition("Ready");
    assert!(greedy.starts_with("False MetricsUnavailable"), "greedy is {greedy}");
    assert!(greedy.contains("did not answer within 5 s"), "greedy is {greedy}");
}

#[tokio::test(start_paused = true)]
async fn service_with_timed_out_queries_does_not_delay_other_services() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    web(&world, "1s").await;
    greedy(&world, 12, &Outage::Slow(NEVER));
    sleep(SOON).await;
    turns_go_on(&world).await;
}

#[tokio::test(start_paused = true)]
async fn expensive_query_is_reported_as_timed_out_by_prometheus() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    greedy(&world, 1, &Outage::Expensive(NEVER));
    let service = world.follow("scalableservices", NAMESPACE, "greedy");
    let cause = "refused the query (timeout): query timed out in expression evaluation";
    service.wait("with the cause", SOON, |service| service.condition("Ready").contains(cause)).await;
    let timed_out = |service: &Version| service.condition("Ready").contains("did not answer");
    service.stays("with the cause", Duration::from_secs(60), |service| !timed_out(service)).await;
}

/// A single query that times out may be at fault itself. If even a constant gets no response, the source is at fault.
#[tokio::test(start_paused = true)]
async fn unresponsive_source_is_queried_rarely_until_it_recovers() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let service = web(&world, "1s").await;
    world.prometheus.break_down(Outage::Slow(NEVER));
    sleep(Duration::from_secs(30)).await;
    let before = world.prometheus.queries();
    sleep(Duration::from_secs(120)).await;
    // Without the breaker there would be two queries every 5 s.
    let queries = world.prometheus.queries() - before;
    assert!((2..20).contains(&queries), "it got {queries} queries within 2 minutes");
    world.prometheus.heal();
    // The longest pause of the breaker is 30 s; a query and the check after it may still be pending, for 5 s each.
    service.wait("ready", Duration::from_secs(60), is_ready).await;
}

/// Twice the number of services that used to be evaluated concurrently; each turn takes the whole timeout of their source.
const CROWD: usize = 280;

#[tokio::test(start_paused = true)]
async fn slow_source_does_not_delay_services_of_another_source() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    web(&world, "1s").await;
    // Responses arrive within the timeout of 5 s, so that the breaker does not open.
    world.second.break_down(Outage::Slow(Duration::from_millis(4_900)));
    for number in 0..CROWD {
        queues_fully(&world, number);
    }
    sleep(SOON).await;
    turns_go_on(&world).await;
    // Control: the slow source was queried all the time.
    assert!(world.second.queries() > 50, "it got {} queries", world.second.queries());
}

/// A service with the other source, for a StatefulSet without pods.
fn queues_fully(world: &World, number: usize) {
    world.objects.apply(&format!(
        r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: crowd-{number}, namespace: {NAMESPACE}}}
spec:
  replicas: 1
  serviceName: crowd
  selector: {{matchLabels: {{app: crowd-{number}}}}}
  template:
    metadata: {{labels: {{app: crowd-{number}}}}}
    spec: {{containers: [{{name: app, image: app}}]}}
"#
    ));
    world.objects.apply(&format!(
        r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: crowd-{number}, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: StatefulSet, name: crowd-{number}}}
  maxReplicas: 10
  period: 1s
  kpis:
  - {{name: crowd, type: Load, source: second, query: "sum(crowd_{number})", perReplica: "10"}}
"#
    ));
}

/// Every turn discovers the kind of a custom resource and reads its scale.
#[tokio::test(start_paused = true)]
async fn lost_discovery_of_a_custom_resource_is_reported_after_five_seconds() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    world.objects.apply(&format!(
        r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: custom, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: web}}
  maxReplicas: 10
  period: 1s
  kpis:
  - {{name: dial, type: Load, query: '{}', perReplica: "10"}}
"#,
        dial(NAMESPACE)
    ));
    let service = world.follow("scalableservices", NAMESPACE, "custom");
    let unserved = |service: &Version| service.condition("Ready").starts_with("False TargetNotScalable");
    service.wait("without a target", SOON, unserved).await;
    let silent = world.server.fault(Scope::all().verb("discover"), Effect::Lost);
    let reported = |service: &Version| {
        let ready = service.condition("Ready");
        ready.starts_with("False ScaleFailed") && ready.contains("can't be read: no answer within 5 s")
    };
    service.wait("reporting the timeout", Duration::from_secs(8), reported).await;
    silent.end();
    service.wait("without a target", SOON, unserved).await;
}
