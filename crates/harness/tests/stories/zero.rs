//! Requests that wait at the balancers while no replica is ready.

use std::time::Duration;

use plimsoll_harness::{
    history::{History, Version},
    world::{Operator, World, condition},
};
use serde_json::{Value, json};

use crate::manifests::{DialService, deployment, dial, traffic};

const NAMESPACE: &str = "zero";
const SOON: Duration = Duration::from_secs(30);
/// An EndpointSlice may be a second late, and the next turn is 15 s away.
const IMMEDIATELY: Duration = Duration::from_millis(100);

/// A service `web` at zero replicas, behind two ready balancers.
async fn at_zero(world: &World) -> (Operator, History<'_>) {
    let operator = world.operator_with_balancers("plimsoll-0");
    deployment(world, NAMESPACE, "web", 0);
    world.prometheus.set(&dial(NAMESPACE), 0.0);
    DialService { min: 0, period: "15s", ..DialService::on(NAMESPACE, "web") }.apply(world);
    let traffic = traffic(&json!({}));
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": traffic}}));
    let service = world.follow("scalableservices", NAMESPACE, "web");
    let two = |version: &Version| version.number("/status/traffic/readyBalancers") == 2;
    service.wait("with two balancers", SOON, two).await;
    (operator, service)
}

/// The first ready replica.
async fn first_replica(world: &World) -> String {
    let ready = || {
        let pods = world.objects.list("pods", NAMESPACE);
        let is_ready = |pod: &&Value| {
            pod["metadata"]["labels"]["app"] == "web" && condition(pod, "Ready").starts_with("True")
        };
        Some(pods.iter().find(is_ready)?["metadata"]["name"].as_str()?.to_owned())
    };
    world.until("a replica is ready", SOON, ready).await.0
}

#[tokio::test(start_paused = true)]
async fn first_replica_is_in_the_status_as_soon_as_it_is_ready_while_requests_are_held() {
    let world = World::default();
    let (_operator, service) = at_zero(&world).await;
    let balancers: Vec<_> = world
        .objects
        .list("pods", NAMESPACE)
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["plimsoll.dev/balancer"] == "web")
        .map(|pod| json!({"pod": pod["metadata"]["name"], "inSync": true, "programmed": 0, "held": 3}))
        .collect();
    assert_eq!(balancers.len(), 2);
    let status = json!({"status": {"traffic": {"balancers": balancers}}});
    world.objects.patch_status("scalableservices", NAMESPACE, "web", status);
    let pod = first_replica(&world).await;
    let arrived = |version: &Version| version.text("/status/traffic/arrived/0/pod") == pod;
    service.wait("with the first replica", IMMEDIATELY, arrived).await;
}

/// The control: the balancers learn of the replica from its EndpointSlice.
#[tokio::test(start_paused = true)]
async fn first_replica_is_not_in_the_status_while_no_request_is_held() {
    let world = World::default();
    let (_operator, service) = at_zero(&world).await;
    world.prometheus.set(&dial(NAMESPACE), 10.0);
    first_replica(&world).await;
    let empty = |version: &Version| version.text("/status/traffic/arrived/0/pod").is_empty();
    service.stays("without arrivals", SOON, empty).await;
}
