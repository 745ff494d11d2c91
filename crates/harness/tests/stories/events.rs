//! An API server that accepts no events, or accepts them late.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::{Effect, Scope},
    world::World,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::manifests::{DialService, deployment, dial, traffic};

const NAMESPACE: &str = "events";
const SOON: Duration = Duration::from_secs(3);
/// The chart's terminationGracePeriodSeconds.
const GRACE: Duration = Duration::from_secs(30);

fn events() -> Scope {
    Scope::all().verb("create").resource("events")
}

/// Creates a service whose single replica carries its load.
async fn calm(world: &World) {
    deployment(world, NAMESPACE, "web", 1);
    world.prometheus.set(&dial(NAMESPACE), 5.0);
    DialService::on(NAMESPACE, "web").apply(world);
    let service = world.follow("scalableservices", NAMESPACE, "web");
    service
        .wait("ready", Duration::from_secs(10), |version| version.condition("Ready").starts_with("True"))
        .await;
}

/// The notes of the events about scale-ups.
fn notes(world: &World) -> Vec<String> {
    let mut notes: Vec<String> = world
        .objects
        .list("events", NAMESPACE)
        .into_iter()
        .filter(|event| event["reason"] == "ScaledUp")
        .map(|event| event["note"].as_str().unwrap().split('.').next().unwrap().to_owned())
        .collect();
    notes.sort();
    notes
}

/// Each scale-up has an event. The next scale-up must not wait for that event.
#[tokio::test(start_paused = true)]
async fn delayed_or_lost_events_do_not_delay_scaling() {
    let too_many = Effect::Status { code: 429, retry_after: Some(60) };
    for effect in [Effect::Latency(Duration::from_secs(9)), too_many, Effect::Lost] {
        let world = World::default();
        let _operator = world.operator("plimsoll-0");
        calm(&world).await;
        let slow = world.server.fault(events(), effect.clone());
        let target = world.follow("deployments", NAMESPACE, "web");
        for replicas in [3, 5, 7] {
            world.prometheus.set(&dial(NAMESPACE), 10.0 * replicas as f64 - 5.0);
            target.wait("raised", SOON, |target| target.replicas() == replicas).await;
        }
        slow.end();
        // Pending events are published now. An event whose time limit had passed was dropped.
        let all = || notes(&world).contains(&"5 -> 7 replicas".to_owned()).then_some(());
        world.until("the last event is published", Duration::from_secs(40), all).await;
        assert!(notes(&world).len() <= 3, "{effect:?}: {:?}", notes(&world));
    }
}

/// Pending events are published before the lease is released.
#[tokio::test(start_paused = true)]
async fn stopped_operator_publishes_pending_events() {
    let world = World::default();
    let operator = world.operator("plimsoll-0");
    calm(&world).await;
    let _slow = world.server.fault(events(), Effect::Latency(Duration::from_millis(1_500)));
    world.prometheus.set(&dial(NAMESPACE), 25.0);
    let target = world.follow("deployments", NAMESPACE, "web");
    target.wait("at 3", SOON, |target| target.replicas() == 3).await;
    operator.terminate().await;
    assert_eq!(notes(&world), ["1 -> 3 replicas"]);
    assert_eq!(world.leader(), "");
}

/// The time limits of all requests of a turn (scale, objects of balancers, status) add up to more than the grace period.
#[tokio::test(start_paused = true)]
async fn stopped_operator_exits_within_its_grace_period_despite_lost_requests() {
    let traffic = traffic(&json!({}));
    for scope in [events(), Scope::all()] {
        let world = World::default();
        let operator = world.operator_with_balancers("plimsoll-0");
        calm(&world).await;
        let _lost = world.server.fault(scope.clone(), Effect::Lost);
        world.prometheus.set(&dial(NAMESPACE), 25.0);
        world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": traffic}}));
        sleep(Duration::from_millis(1_500)).await;
        let stopped = Instant::now();
        operator.terminate().await;
        let took = stopped.elapsed();
        assert!(took < GRACE - Duration::from_secs(8), "{scope:?} lost: it took {took:?} to end");
    }
}
