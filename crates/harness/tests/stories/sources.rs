//! Services that share a source, and sources that share an operator: what is slow holds up nobody else.

use std::time::Duration;

use plimsoll_harness::{
    history::Version,
    prometheus::Outage,
    world::{World, condition},
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
    deployment(&world, NAMESPACE, "web", 2);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    let period = Duration::from_secs(10);
    DialService { period: "10s", ..DialService::on(NAMESPACE, "web") }.apply(&world);
    let (service, target) = (
        world.follow("scalableservices", NAMESPACE, "web"),
        world.follow("deployments", NAMESPACE, "web"),
    );
    service.wait("ready", SOON, is_ready).await;
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
async fn a_query_that_is_too_expensive_is_given_up_by_prometheus_which_says_so() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    greedy(&world, 1, &Outage::Expensive(NEVER));
    let service = world.follow("scalableservices", NAMESPACE, "greedy");
    let told = "refused the query (timeout): query timed out in expression evaluation";
    service.wait("told why", SOON, |service| service.condition("Ready").contains(told)).await;
    let silent = "did not answer";
    service.stays("told why", Duration::from_secs(60), |service| !service.condition("Ready").contains(silent)).await;
}

/// One query that times out may be its own fault. That nothing is answered, not even a constant, is the source's.
#[tokio::test(start_paused = true)]
async fn a_source_that_answers_nothing_at_all_is_left_alone_until_it_is_back() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 2);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    DialService::on(NAMESPACE, "web").apply(&world);
    let service = world.follow("scalableservices", NAMESPACE, "web");
    service.wait("ready", SOON, is_ready).await;
    world.prometheus.break_down(Outage::Slow(NEVER));
    let resting = |service: &Version| service.condition("Ready").contains("is not asked for another");
    service.wait("waiting for the source", Duration::from_secs(30), resting).await;
    let asked = world.prometheus.asked();
    sleep(Duration::from_secs(120)).await;
    let asked = world.prometheus.asked() - asked;
    assert!((2..40).contains(&asked), "it was asked {asked} times within 2 minutes");
    world.prometheus.heal();
    // The longest pause of the breaker is 30 s.
    service.wait("ready", Duration::from_secs(45), is_ready).await;
}
