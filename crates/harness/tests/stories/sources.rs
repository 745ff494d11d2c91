//! Services that share a source, and sources that share an operator: a slow one delays no other.

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
/// An answer that never comes within the timeout of a source (5 s).
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(10);

fn is_ready(service: &Version) -> bool {
    service.condition("Ready").starts_with("True")
}

/// The service `web`, which looks every second, does so however long others wait, and its replicas follow its load.
async fn looks_go_on(world: &World) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    world.prometheus.script(&dial(NAMESPACE), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Value::Number(15.0)
    });
    sleep(Duration::from_secs(60)).await;
    // Each look asks for the value and for its evidence.
    let looks = asked.load(Ordering::Relaxed) / 2;
    assert!(looks >= 45, "there were {looks} looks within a minute");
    world.prometheus.set(&dial(NAMESPACE), 35.0);
    let target = world.follow("deployments", NAMESPACE, "web");
    target.wait("raised at its next look", Duration::from_secs(3), |target| target.replicas() == 4).await;
}

/// The service `web` with this period and 2 replicas, which are right for its load. Its object, once it is ready.
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

/// A service with so many objectives, each of which has a query of its own with this fault, and a look every second.
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
async fn a_service_whose_queries_all_time_out_leaves_the_source_to_the_others() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let period = Duration::from_secs(10);
    let service = web(&world, "10s").await;
    let target = world.follow("deployments", NAMESPACE, "web");
    greedy(&world, 12, &Outage::Slow(NEVER));
    service.stays("ready", Duration::from_secs(120), is_ready).await;
    world.prometheus.set(&dial(NAMESPACE), 35.0);
    target.wait("at 4 after a look", period + Duration::from_secs(2), |target| target.replicas() == 4).await;
    // The control: those queries did time out, and their service says so.
    let greedy = world.follow("scalableservices", NAMESPACE, "greedy").last().condition("Ready");
    assert!(greedy.starts_with("False MetricsUnavailable"), "greedy is {greedy}");
    assert!(greedy.contains("did not answer within 5 s"), "greedy is {greedy}");
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_queries_all_time_out_delays_no_look_of_the_others() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    web(&world, "1s").await;
    greedy(&world, 12, &Outage::Slow(NEVER));
    sleep(SOON).await;
    looks_go_on(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_too_expensive_is_given_up_by_prometheus_which_says_so() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    greedy(&world, 1, &Outage::Expensive(NEVER));
    let service = world.follow("scalableservices", NAMESPACE, "greedy");
    let told = "refused the query (timeout): query timed out in expression evaluation";
    service.wait("told why", SOON, |service| service.condition("Ready").contains(told)).await;
    let silent = "did not answer";
    service
        .stays("told why", Duration::from_secs(60), |service| !service.condition("Ready").contains(silent))
        .await;
}

/// One query that times out may be its own fault. That nothing is answered, not even a constant, is the source's.
#[tokio::test(start_paused = true)]
async fn a_source_that_answers_nothing_at_all_is_left_alone_until_it_is_back() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let service = web(&world, "1s").await;
    world.prometheus.break_down(Outage::Slow(NEVER));
    sleep(Duration::from_secs(30)).await;
    let asked = world.prometheus.asked();
    sleep(Duration::from_secs(120)).await;
    // Looks that wait for it would have asked twice every 5 s.
    let asked = world.prometheus.asked() - asked;
    assert!((2..20).contains(&asked), "it was asked {asked} times within 2 minutes");
    world.prometheus.heal();
    // The longest pause of the breaker is 30 s; a query and the check after it may still be out, for 5 s each.
    service.wait("ready", Duration::from_secs(60), is_ready).await;
}

/// Twice as many services as were once looked at together; each look takes the whole timeout of their source.
const CROWD: usize = 280;

#[tokio::test(start_paused = true)]
async fn a_slow_source_holds_up_no_service_of_another_source() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    web(&world, "1s").await;
    // Answers come within the timeout of 5 s, so that the source is not taken for dead.
    world.second.break_down(Outage::Slow(Duration::from_millis(4_900)));
    for number in 0..CROWD {
        crowded(&world, number);
    }
    sleep(SOON).await;
    looks_go_on(&world).await;
    // The control: the slow source was asked all the time.
    assert!(world.second.asked() > 50, "it was asked {} times", world.second.asked());
}

/// A service on the other source, for a StatefulSet without pods.
fn crowded(world: &World, number: usize) {
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

/// The kind of a custom resource is looked up, and its scale is read, at each look.
#[tokio::test(start_paused = true)]
async fn a_custom_resource_that_the_api_server_is_silent_about_is_told_after_five_seconds() {
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
    let told = |service: &Version| {
        let ready = service.condition("Ready");
        ready.starts_with("False ScaleFailed") && ready.contains("can't be read: no answer within 5 s")
    };
    service.wait("told", Duration::from_secs(8), told).await;
    silent.end();
    service.wait("without a target", SOON, unserved).await;
}
