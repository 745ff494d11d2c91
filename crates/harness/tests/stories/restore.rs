//! Changes outside of the operator's own objects: recorded with the change, and restored when the service is deleted.

use std::time::Duration;

use plimsoll::{
    controller::{ReleaseOptions, release_with},
    random::Random,
};
use plimsoll_harness::{
    apiserver::{Effect, Kind, Scope},
    history::Version,
    world::{Operator, World},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::manifests::{DialService, deployment, dial};

const NAMESPACE: &str = "routes";
const FINALIZER: &str = "plimsoll.dev/restore";
const ORIGINALS: &str = "plimsoll.dev/original-weights";
/// Longer than a turn takes.
const SOON: Duration = Duration::from_secs(20);

/// An HTTPRoute with the weights 3 and 1, and a service that steers it and sends all requests to its primary.
fn steered() -> World {
    let world = World::default();
    world.server.serve(Kind::custom("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes", json!({})));
    deployment(&world, NAMESPACE, "web", 2);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    world.objects.apply(
        r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: routes, annotations: {team: shop}}
spec:
  parentRefs: [{name: front}]
  rules:
  - {name: other, backendRefs: [{name: web, port: 80, weight: 7}]}
  - {name: main, backendRefs: [{name: web, port: 80, weight: 3}, {name: web-b, port: 80, weight: 1}]}
",
    );
    DialService::on(NAMESPACE, "web").apply(&world);
    let failover = json!({"backends": [{"name": "b", "service": {"name": "web-b", "port": 80}}]});
    let traffic = json!({"provider": "Gateway", "gateway": {"httpRoute": "web", "rule": "main"}});
    let spec = json!({"spec": {"traffic": traffic, "failover": failover}});
    world.objects.patch("scalableservices", NAMESPACE, "web", spec);
    world
}

async fn operator(world: &World) -> Operator {
    let operator = world.operator_with_balancers("plimsoll-0");
    world.until("the operator steers the rule", SOON, || (weights(world) == [100, 0]).then_some(())).await;
    operator
}

fn weights(world: &World) -> Vec<i64> {
    let route = world.objects.get("httproutes", NAMESPACE, "web").unwrap();
    let backends = route.pointer("/spec/rules/1/backendRefs").and_then(Value::as_array).unwrap();
    backends.iter().map(|backend| backend["weight"].as_i64().unwrap()).collect()
}

fn annotations(world: &World) -> Value {
    let route = world.objects.get("httproutes", NAMESPACE, "web").unwrap();
    route["metadata"]["annotations"].clone()
}

fn service(world: &World) -> Option<Value> {
    world.objects.get("scalableservices", NAMESPACE, "web")
}

async fn deleted(world: &World, within: Duration) -> Duration {
    let begin = Instant::now();
    world.objects.delete("scalableservices", NAMESPACE, "web");
    world.until("the service is deleted", within, || service(world).is_none().then_some(())).await;
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn deletion_of_a_service_restores_the_original_weights() {
    let world = steered();
    let _operator = operator(&world).await;
    assert_eq!(service(&world).unwrap()["metadata"]["finalizers"], json!([FINALIZER]));
    let place = |resource: &str| {
        let mut calls = world.server.calls().into_iter().map(|call| call.shape);
        calls.position(|shape| shape.starts_with(&format!("patch(json) {resource}"))).unwrap()
    };
    assert!(place("scalableservices") < place("httproutes"), "the finalizer comes before the change");
    assert!(annotations(&world)[ORIGINALS].is_string());
    deleted(&world, SOON).await;
    assert_eq!(weights(&world), [3, 1]);
    assert_eq!(annotations(&world), json!({"team": "shop"}), "an annotation of the operator is left");
}

/// Otherwise the deletion of a service right after the change would leave the changed weights in the route.
#[tokio::test(start_paused = true)]
async fn weights_do_not_change_without_the_finalizer() {
    let world = steered();
    let patches = Scope::all().verb("patch").resource("scalableservices").subresource("");
    let refused = world.server.fault(patches, Effect::Status { code: 403, retry_after: None });
    let _operator = world.operator_with_balancers("plimsoll-0");
    let follow = world.follow("scalableservices", NAMESPACE, "web");
    let waits = "False RouteFailed the weights are not changed, since the finalizer";
    let reports = |version: &Version| version.condition("TrafficSynced").starts_with(waits);
    follow.wait("waiting for the finalizer", SOON, reports).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(weights(&world), [3, 1]);
    drop(refused);
    world.until("the operator steers the rule", SOON, || (weights(&world) == [100, 0]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn weights_changed_by_another_writer_are_not_restored() {
    let world = steered();
    let operator = operator(&world).await;
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"mode": "Paused"}}));
    sleep(SOON).await;
    let rules = json!([{"name": "other", "backendRefs": [{"name": "web", "port": 80, "weight": 7}]},
                       {"name": "main", "backendRefs": [{"name": "web", "port": 80, "weight": 50},
                                                        {"name": "web-b", "port": 80, "weight": 50}]}]);
    world.objects.patch("httproutes", NAMESPACE, "web", json!({"spec": {"rules": rules}}));
    deleted(&world, SOON).await;
    assert_eq!(weights(&world), [50, 50]);
    assert_eq!(annotations(&world), json!({"team": "shop"}));
    drop(operator);
}

#[tokio::test(start_paused = true)]
async fn deletion_waits_a_minute_at_most_and_not_for_a_missing_route() {
    let world = steered();
    let _operator = operator(&world).await;
    let patches = Scope::all().verb("patch").resource("httproutes");
    let _refused = world.server.fault(patches, Effect::Status { code: 403, retry_after: None });
    let waited = deleted(&world, Duration::from_secs(90)).await;
    assert!(waited > Duration::from_secs(50), "the restoration was not retried: {waited:?}");
    assert_eq!(weights(&world), [100, 0]);

    let world = steered();
    let _operator = operator(&world).await;
    world.objects.delete("httproutes", NAMESPACE, "web");
    let waited = deleted(&world, SOON).await;
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn next_operator_restores_a_service_deleted_while_none_was_running() {
    let world = steered();
    operator(&world).await.kill().await;
    world.objects.delete("scalableservices", NAMESPACE, "web");
    sleep(SOON).await;
    assert!(service(&world).is_some(), "the finalizer did not block the deletion");
    let _next = world.operator_with_balancers("plimsoll-1");
    let deleted = || service(&world).is_none().then_some(());
    world.until("the service is deleted", Duration::from_secs(60), deleted).await;
    assert_eq!(weights(&world), [3, 1]);
}

/// Runs the release, as the chart's uninstall hook does. Returns the number of released services.
async fn release(world: &World) -> usize {
    let options = ReleaseOptions {
        namespaces: Vec::new(),
        pod_name: "plimsoll-release".to_owned(),
        pod_namespace: "plimsoll-system".to_owned(),
    };
    let client = world.server.client("plimsoll-release");
    release_with(client, options, world.clock.clone(), Random::new(|| 7)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn release_removes_the_finalizer_and_restores_the_weights() {
    let world = steered();
    operator(&world).await.terminate().await;
    assert_eq!(release(&world).await, 1);
    assert_eq!(weights(&world), [3, 1]);
    let finalizers = service(&world).unwrap()["metadata"]["finalizers"].clone();
    assert!(finalizers.is_null() || finalizers == json!([]), "{finalizers}");
    deleted(&world, Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn unreadable_service_is_released_too() {
    let world = steered();
    operator(&world).await.terminate().await;
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"maxReplicas": "many"}}));
    assert_eq!(release(&world).await, 1);
    assert_eq!(weights(&world), [3, 1]);
    deleted(&world, Duration::from_secs(1)).await;
}
