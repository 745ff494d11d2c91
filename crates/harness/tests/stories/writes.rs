//! Writes of the scale that are refused, are based on an old number, or race with another writer.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::{Effect, Scope},
    history::{History, Version},
    world::World,
};
use serde_json::json;
use tokio::time::sleep;

use crate::manifests::{DialService, deployment, dial};

const NAMESPACE: &str = "writes";
const SOON: Duration = Duration::from_secs(3);

/// Three ready replicas that carry a load of 25. Returns the versions of their Deployment.
async fn calm<'a>(world: &'a World, service: DialService<'_>) -> History<'a> {
    deployment(world, NAMESPACE, "web", 3);
    world.prometheus.set(&dial(NAMESPACE), 25.0);
    service.apply(world);
    let seen = |version: &Version| {
        version.condition("Ready").starts_with("True") && version.number("/status/readyReplicas") == 3
    };
    world.follow("scalableservices", NAMESPACE, "web").wait("calm", Duration::from_secs(10), seen).await;
    world.follow("deployments", NAMESPACE, "web")
}

fn scale_writes() -> Scope {
    Scope::all().verb("update").resource("deployments").subresource("scale")
}

fn count(world: &World, shape: &str) -> usize {
    world.server.calls().iter().filter(|call| call.shape == shape).count()
}

/// The numbers before and after each decision in the status that changed the replicas, newest first.
fn changes(world: &World) -> Vec<(i64, i64)> {
    let service = world.follow("scalableservices", NAMESPACE, "web").last();
    let records = service.0["status"]["decisions"].as_array().cloned().unwrap_or_default();
    let scaled = |record: &serde_json::Value| {
        let last =
            record["reasons"].as_array().and_then(|reasons| reasons.last()).map(|last| last["code"].clone());
        last.is_some_and(|code| code == "ScaledUp" || code == "ScaledDown")
    };
    let numbers =
        |record: &serde_json::Value| (record["from"].as_i64().unwrap(), record["to"].as_i64().unwrap());
    records.iter().filter(|record| scaled(record)).map(numbers).collect()
}

/// The watch of Deployments is half-open: no events arrive, and neither side notices.
#[tokio::test(start_paused = true)]
async fn target_with_a_dead_watch_is_scaled_from_the_last_read_or_write() {
    let world = World::default();
    let operator = world.operator("plimsoll-0");
    let target = calm(&world, DialService::on(NAMESPACE, "web")).await;
    world.server.half_open_watches(&Scope::all().client(operator.name()).resource("deployments"));
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    target.wait("at 6", SOON, |target| target.replicas() == 6).await;
    world.prometheus.set(&dial(NAMESPACE), 75.0);
    target.wait("at 8", SOON, |target| target.replicas() == 8).await;
    // Another writer changes the replicas; the watch does not report that either.
    world.objects.patch("deployments", NAMESPACE, "web", json!({"spec": {"replicas": 5}}));
    world.prometheus.set(&dial(NAMESPACE), 95.0);
    target.wait("at 10", SOON, |target| target.replicas() == 10).await;
    assert_eq!(target.replicas(), [3, 6, 8, 5, 10]);
    sleep(Duration::from_secs(5)).await;
    // Each of three writes has a read before it. A fourth read found the other writer's change.
    assert_eq!((count(&world, "get deployments/scale"), count(&world, "update deployments/scale")), (4, 3));
    assert_eq!(changes(&world), [(5, 10), (6, 8), (3, 6)]);
}

/// No decision needs a write, so the scale is not read: only the watch can report the change.
#[tokio::test(start_paused = true)]
async fn dead_watch_is_detected_within_forty_seconds() {
    let world = World::default();
    let operator = world.operator("plimsoll-0");
    let target = calm(&world, DialService::on(NAMESPACE, "web")).await;
    world.server.half_open_watches(&Scope::all().client(operator.name()).resource("deployments"));
    world.objects.patch("deployments", NAMESPACE, "web", json!({"spec": {"replicas": 8}}));
    target.wait("back at 3", Duration::from_secs(40), |target| target.replicas() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn repeated_conflicts_are_retried_with_backoff_and_not_recorded_as_changes() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let target = calm(&world, DialService::on(NAMESPACE, "web")).await;
    let conflict = world.server.fault(scale_writes(), Effect::Status { code: 409, retry_after: None });
    let (scales, statuses) = (writes_of(&world, "/scale"), writes_of(&world, "/status"));
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    sleep(Duration::from_secs(60)).await;
    let (scales, statuses) = (writes_of(&world, "/scale") - scales, writes_of(&world, "/status") - statuses);
    assert!((5..=20).contains(&scales), "{scales} writes of the scale in a minute");
    assert!(statuses <= 4, "{statuses} writes of the status in a minute");
    assert_eq!(changes(&world), []);
    conflict.end();
    target.wait("at 6", Duration::from_secs(6), |target| target.replicas() == 6).await;
    sleep(SOON).await;
    assert_eq!(changes(&world), [(3, 6)]);
}

/// The number of calls that write a subresource, including those answered by a fault, which are recorded by method and path.
fn writes_of(world: &World, subresource: &str) -> usize {
    let calls = world.server.calls();
    let reads = |shape: &str| shape.to_lowercase().starts_with("get");
    calls.iter().filter(|call| call.shape.ends_with(subresource) && !reads(&call.shape)).count()
}

/// The rate policy allows three replicas more within ten minutes.
#[tokio::test(start_paused = true)]
async fn failed_writes_do_not_count_for_rate_policies_even_after_a_restart() {
    let world = World::default();
    let first = world.operator("plimsoll-0");
    let up = "{policies: [{type: Pods, value: 3, periodSeconds: 600}]}";
    let target = calm(&world, DialService { up, ..DialService::on(NAMESPACE, "web") }).await;
    let failing = world.server.fault(scale_writes(), Effect::Status { code: 500, retry_after: None });
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    let service = world.follow("scalableservices", NAMESPACE, "web");
    let failed = |version: &Version| version.condition("Ready").starts_with("False ScaleFailed");
    service.wait("reporting ScaleFailed", Duration::from_secs(10), failed).await;
    world.explain(NAMESPACE, "web", &["ScaleFailed"]).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(changes(&world), []);
    first.terminate().await;
    let _second = world.operator("plimsoll-1");
    failing.end();
    target.wait("at 6", Duration::from_secs(20), |target| target.replicas() == 6).await;
    sleep(SOON).await;
    assert_eq!(changes(&world), [(3, 6)]);
}

/// The write took effect, and used up the policy's allowance for ten minutes.
#[tokio::test(start_paused = true)]
async fn write_with_a_lost_response_counts_for_rate_policies() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let up = "{policies: [{type: Pods, value: 3, periodSeconds: 600}]}";
    let target = calm(&world, DialService { up, ..DialService::on(NAMESPACE, "web") }).await;
    let lost = world.server.fault(scale_writes(), Effect::LostAnswer);
    world.prometheus.set(&dial(NAMESPACE), 95.0);
    target.wait("at 6", SOON, |target| target.replicas() == 6).await;
    sleep(Duration::from_secs(30)).await;
    lost.end();
    target.stays("at 6", Duration::from_secs(60), |target| target.replicas() == 6).await;
    target.wait("at 9", Duration::from_secs(600), |target| target.replicas() == 9).await;
}

/// The scale is changed between the operator's read and its write. The write carries the resource version that was read, so
/// the API server refuses it, and the operator decides again.
#[tokio::test(start_paused = true)]
async fn scale_write_never_overwrites_a_concurrent_write() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let target = calm(&world, DialService::on(NAMESPACE, "web")).await;
    let late = world.server.fault(scale_writes(), Effect::Latency(Duration::from_secs(2)));
    let reads = count(&world, "get deployments/scale");
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    let read = || (count(&world, "get deployments/scale") > reads).then_some(());
    world.until("the scale is read", SOON, read).await;
    sleep(Duration::from_secs(1)).await;
    world.objects.patch("deployments", NAMESPACE, "web", json!({"spec": {"replicas": 8}}));
    world.prometheus.set(&dial(NAMESPACE), 95.0);
    late.end();
    target.wait("at 10", Duration::from_secs(6), |target| target.replicas() == 10).await;
    assert_eq!(target.replicas(), [3, 8, 10], "6 was decided before the 8");
    sleep(SOON).await;
    assert_eq!(changes(&world), [(8, 10)]);
}

/// The API server refuses the status and accepts all other writes, for example after the CustomResourceDefinition changed.
#[tokio::test(start_paused = true)]
async fn refused_status_is_retried_with_backoff_and_its_events_are_published_once() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    let target = calm(&world, DialService::on(NAMESPACE, "web")).await;
    let status = Scope::all().verb("patch").resource("scalableservices").subresource("status");
    let refused = world.server.fault(status, Effect::Status { code: 422, retry_after: None });
    let before = writes_of(&world, "/status");
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    target.wait("at 6", SOON, |target| target.replicas() == 6).await;
    sleep(Duration::from_secs(180)).await;
    let tries = writes_of(&world, "/status") - before;
    assert!((3..=12).contains(&tries), "{tries} writes of the status in three minutes");
    let events = world.objects.list("events", NAMESPACE);
    let raised: Vec<_> = events.iter().filter(|event| event["reason"] == "ScaledUp").collect();
    assert_eq!(raised.len(), 1);
    assert!(raised[0]["series"].is_null(), "it was published again: {}", raised[0]);
    refused.end();
    let written = |version: &Version| version.number("/status/replicas") == 6;
    let service = world.follow("scalableservices", NAMESPACE, "web");
    service.wait("with the new status", Duration::from_secs(60), written).await;
    assert_eq!(changes(&world), [(3, 6)]);
}
