//! The modes without writes.

use std::time::Duration;

use plimsoll_harness::world::World;
use serde_json::json;

use crate::manifests::{DialService, deployment, dial};

const SOON: Duration = Duration::from_secs(10);
/// Longer than several turns.
const A_WHILE: Duration = Duration::from_secs(6);

#[tokio::test(start_paused = true)]
async fn observe_reports_decisions_and_writes_nothing_until_the_mode_is_auto() {
    held("life-observe", "Observe", "Observing").await;
}

#[tokio::test(start_paused = true)]
async fn paused_keeps_the_replicas_and_writes_nothing_until_the_mode_is_auto() {
    held("life-paused", "Paused", "Paused").await;
}

/// Three replicas; the load needs six, then two; then the mode becomes Auto.
async fn held(namespace: &'static str, mode: &str, reason: &str) {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, namespace, "web", 3);
    let target = world.follow("deployments", namespace, "web");
    let generation = target.last().generation();
    DialService { mode, ..DialService::on(namespace, "web") }.apply(&world);
    let service = world.follow("scalableservices", namespace, "web");
    for (load, decided) in [(55.0, 6), (15.0, 2)] {
        world.prometheus.set(&dial(namespace), load);
        service
            .wait(&format!("{reason}, with {decided} decided"), SOON, |version| {
                version.condition("Ready").starts_with(&format!("True {reason}"))
                    && version.condition("ScalingActive").starts_with(&format!("False {reason}"))
                    && version.number("/status/desiredReplicas") == decided
            })
            .await;
        target.stays("untouched", A_WHILE, |version| version.generation() == generation).await;
    }
    world.explain(namespace, "web", &["has 3 replicas", mode, "2", "dial"]).await;
    let scales = world.server.calls().into_iter().filter(|call| call.shape == "update deployments/scale");
    assert_eq!(scales.count(), 0, "nothing is written in mode {mode}");
    world.objects.patch("scalableservices", namespace, "web", json!({"spec": {"mode": "Auto"}}));
    let (acted, _) = target.wait("at 2 in mode Auto", SOON, |version| version.replicas() == 2).await;
    assert_eq!(acted.generation(), generation + 1, "one write");
}
