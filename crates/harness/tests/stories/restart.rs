//! Operators that are killed during a write.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::{Effect, Scope},
    history::Version,
    world::World,
};
use tokio::time::sleep;

use crate::{
    manifests::{DialService, deployment, dial},
    outage::{LOAD, NAMESPACE, SHOP, Shop},
};

/// Replicas for twice the load, within the tolerance.
const RISEN: i64 = 19;

/// The kill comes after the write of the scale and before the status that records it.
#[tokio::test(start_paused = true)]
async fn operators_killed_before_the_status_write_do_not_scale_down_after_a_restart() {
    let shop = Shop::open().await;
    let first = [shop.world.operator("plimsoll-0"), shop.world.operator("plimsoll-1")];
    let before = shop.calm().await;
    let mark = shop.target().mark();
    let status = Scope::all().verb("patch").resource("scalableservices").subresource("status");
    let unwritten = shop.world.server.fault(status, Effect::Lost);
    shop.rise(8.0);
    let raised = |target: &Version| target.replicas() > before;
    shop.target().wait("raised once", Duration::from_secs(20), raised).await;
    for operator in first {
        operator.kill().await;
    }
    unwritten.end();
    follow(&shop, mark).await;
}

/// The kill comes before the response to the write of the scale, so that its result is unknown.
#[tokio::test(start_paused = true)]
async fn operators_killed_before_the_response_to_a_scale_do_not_scale_down_after_a_restart() {
    let shop = Shop::open().await;
    let first = [shop.world.operator("plimsoll-0"), shop.world.operator("plimsoll-1")];
    let before = shop.calm().await;
    let mark = shop.target().mark();
    let scales = Scope::all().verb("update").resource("deployments").subresource("scale");
    let unanswered = shop.world.server.fault(scales, Effect::LostAnswer);
    shop.rise(8.0);
    let raised = |target: &Version| target.replicas() > before;
    shop.target().wait("raised once", Duration::from_secs(20), raised).await;
    for operator in first {
        operator.kill().await;
    }
    unanswered.end();
    follow(&shop, mark).await;
}

/// The first sample of a new process is too low, as before all pods are scraped; it must not count as evidence.
#[tokio::test(start_paused = true)]
async fn first_turn_of_a_new_process_does_not_scale_down() {
    let world = World::default();
    let first = world.operator("plimsoll-0");
    deployment(&world, "first-look", "web", 10);
    let load = dial("first-look");
    world.prometheus.set(&load, 95.0);
    DialService::on("first-look", "web").apply(&world);
    let target = world.follow("deployments", "first-look", "web");
    target.stays("at 10", Duration::from_secs(10), |target| target.replicas() == 10).await;
    first.terminate().await;
    world.prometheus.set(&load, 15.0);
    sleep(Duration::from_millis(1_050)).await;
    let second = world.operator("plimsoll-0");
    sleep(Duration::from_millis(900)).await;
    world.prometheus.set(&load, 95.0);
    target.stays("at 10", Duration::from_secs(10), |target| target.replicas() == 10).await;
    // Control: a fall that lasts for two turns is followed.
    world.prometheus.set(&load, 15.0);
    target.wait("at 2", Duration::from_secs(10), |target| target.replicas() == 2).await;
    assert!(second.is_running());
}

/// The kubelet restarts the operators, with new identities. Their first sample is too low, then the load has doubled; the
/// replicas only rise.
async fn follow(shop: &Shop, mark: usize) {
    shop.load(|_| 90.0);
    sleep(Duration::from_secs(2)).await;
    let _second = [shop.world.operator("plimsoll-0"), shop.world.operator("plimsoll-1")];
    shop.after_a_turn().await;
    shop.load(|_| 2.0 * LOAD);
    let risen = |target: &Version| target.replicas() >= RISEN;
    shop.target().wait("19 replicas", Duration::from_secs(45), risen).await;
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    sleep(Duration::from_secs(3)).await;
    let replicas: Vec<i64> = shop.target().since(mark).iter().map(Version::replicas).collect();
    assert!(replicas.is_sorted(), "the load only rose, but the replicas were {replicas:?}");
}
