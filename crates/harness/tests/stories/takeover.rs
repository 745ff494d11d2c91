//! Taking over a target, and releasing it.

use std::time::Duration;

use plimsoll_harness::world::World;
use tokio::time::Instant;

use crate::manifests::{DialService, deployment, dial};

const NAMESPACE: &str = "life-takeover";
const SOON: Duration = Duration::from_secs(10);
/// The scale-down window, in seconds: longer than Prometheus has had the load.
const WINDOW: u64 = 25;

#[tokio::test(start_paused = true)]
async fn takeover_keeps_the_replicas_for_the_window_and_deletion_does_not_change_them() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 7);
    world.prometheus.set(&dial(NAMESPACE), 5.0);
    let target = world.follow("deployments", NAMESPACE, "web");
    DialService { window: WINDOW as u32, ..DialService::on(NAMESPACE, "web") }.apply(&world);
    let created = Instant::now();
    let service = world.follow("scalableservices", NAMESPACE, "web");
    service
        .wait("keeping the replicas", SOON, |version| version.number("/status/desiredReplicas") == 7)
        .await;
    let window = format!("scale-down window of {WINDOW} s");
    world.explain(NAMESPACE, "web", &["has 7 replicas", &window, "dial"]).await;
    let left = Duration::from_secs(WINDOW - 1).saturating_sub(created.elapsed());
    target.stays("at 7 for the window", left, |version| version.replicas() == 7).await;
    target.wait("at 1 after the window", SOON, |version| version.replicas() == 1).await;
    assert!(created.elapsed() >= Duration::from_secs(WINDOW), "held for {:?}", created.elapsed());

    world.prometheus.set(&dial(NAMESPACE), 35.0);
    target.wait("at 4", SOON, |version| version.replicas() == 4).await;
    world.objects.delete("scalableservices", NAMESPACE, "web");
    let generation = target.last().generation();
    world.prometheus.set(&dial(NAMESPACE), 90.0);
    target
        .stays("unchanged", Duration::from_secs(6), |version| {
            version.generation() == generation && version.replicas() == 4
        })
        .await;
}
