//! A leader and a follower: the leader is killed, hands over, or loses the lease without noticing.

use std::time::Duration;

use jiff::SignedDuration;
use plimsoll_harness::{
    apiserver::{Effect, Scope},
    history::Version,
    prometheus::Value,
    world::{Operator, World},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    manifests::{DialService, deployment, dial, traffic},
    outage::{LOAD, NAMESPACE, RECOVERY, SHOP, Shop},
};

/// Duration of the lease (15 s), a follower's poll interval (2 s) and some time for the requests.
const TAKE_OVER: Duration = Duration::from_secs(20);
/// A released lease is acquired at a follower's next poll, after 2 s at most.
const HAND_OVER: Duration = Duration::from_secs(4);

#[tokio::test(start_paused = true)]
async fn killed_leader_is_replaced_within_the_lease_without_a_scale_down() {
    let (shop, leader, _follower) = two_operators().await;
    change_of_leader(&shop, TAKE_OVER, leader.kill()).await;
}

#[tokio::test(start_paused = true)]
async fn terminated_leader_hands_over_within_seconds_without_a_scale_down() {
    let (shop, leader, _follower) = two_operators().await;
    change_of_leader(&shop, HAND_OVER, leader.terminate()).await;
}

/// The shop with two operators: the leader and the follower.
async fn two_operators() -> (Shop, Operator, Operator) {
    let shop = Shop::open().await;
    let leader = shop.world.operator("plimsoll-0");
    shop.calm().await;
    let follower = shop.world.operator("plimsoll-1");
    sleep(Duration::from_secs(5)).await;
    assert!(shop.world.leader().starts_with("plimsoll-0_"));
    (shop, leader, follower)
}

async fn change_of_leader(shop: &Shop, within: Duration, removal: impl Future<Output = ()>) {
    let before = shop.calm().await;
    let (target, service) = (shop.target(), shop.service());
    let (mark, service_mark) = (target.mark(), service.mark());
    removal.await;
    // The first sample of the new leader is too low: a wrong scale-down would happen in its first turn.
    shop.load(|_| 90.0);
    let taken = || shop.world.leader().starts_with("plimsoll-1_").then_some(());
    shop.world.until("the other leads", within, taken).await;
    shop.after_a_turn().await;
    shop.load(|_| LOAD);
    sleep(Duration::from_secs(3)).await;
    let lowest = target.fewest(mark);
    assert!(lowest >= before, "{before} replicas fell to {lowest}: {}", service.last().0["status"]);
    assert_eq!(service.flaps(service_mark, "Ready"), 0, "Ready changed");
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    // The new leader works: it applies a higher floor.
    shop.world.objects.patch("scalableservices", NAMESPACE, SHOP, json!({"spec": {"minReplicas": 15}}));
    target.wait("15 replicas", RECOVERY, |target| target.replicas() >= 15).await;
}

/// The load falls before the leader is killed: the window counts from the fall, not from the new leader's first turn, and
/// there is no scale-down before its end.
#[tokio::test(start_paused = true)]
async fn change_of_leader_keeps_the_stabilization_window() {
    const WINDOW: u64 = 120;
    let world = World::default();
    let leader = world.operator("plimsoll-0");
    sleep(Duration::from_secs(1)).await;
    let _follower = world.operator("plimsoll-1");
    deployment(&world, "window", "web", 10);
    world.prometheus.set(&dial("window"), 95.0);
    DialService { window: WINDOW as u32, ..DialService::on("window", "web") }.apply(&world);
    let target = world.follow("deployments", "window", "web");
    // Longer than the window, so that the load fills it.
    target.stays("at 10", Duration::from_secs(WINDOW + 10), |target| target.replicas() == 10).await;
    world.prometheus.set(&dial("window"), 15.0);
    let fell = Instant::now();
    sleep(Duration::from_secs(10)).await;
    leader.kill().await;
    let left = Duration::from_secs(WINDOW - 1).saturating_sub(fell.elapsed());
    target.stays("at 10 for the window", left, |target| target.replicas() == 10).await;
    target.wait("at 2 after the window", Duration::from_secs(10), |target| target.replicas() == 2).await;
    assert!(world.leader().starts_with("plimsoll-1_"));
}

/// The leader's renewals are lost, and the responses to its reads arrive after its deadline: its earlier decisions must not be
/// written, whether replicas, status, events or objects of balancers.
#[tokio::test(start_paused = true)]
async fn leader_past_its_deadline_writes_nothing_after_a_late_response() {
    let shop = Shop::open().await;
    let leader = shop.world.operator_with_balancers("plimsoll-0");
    deployment(&shop.world, NAMESPACE, "front", 2);
    shop.world.prometheus.set(&dial(NAMESPACE), 15.0);
    DialService::on(NAMESPACE, "front").apply(&shop.world);
    shop.calm().await;
    let mine = Scope::all().client(leader.name());
    let _renewals = shop.world.server.fault(mine.clone().resource("leases"), Effect::Lost);
    let cut = shop.world.clock.now();
    let late = Effect::Latency(Duration::from_secs(9));
    let _reads = shop.world.server.fault(mine.verb("get"), late);
    sleep(Duration::from_secs(5)).await;
    let before = shop.target().last().replicas();
    shop.load(|_| 630.0);
    let traffic = json!({"spec": {"traffic": traffic(&json!({}))}});
    shop.world.objects.patch("scalableservices", NAMESPACE, "front", traffic);
    sleep(2 * TAKE_OVER).await;

    assert_eq!(shop.target().last().replicas(), before);
    // The last renewal that arrived was sent at most 2 s before the cut, and is valid for 10 s.
    let deadline = cut + SignedDuration::from_secs(10);
    let calls = shop.world.server.calls();
    let late: Vec<_> = calls.iter().filter(|call| call.at > deadline).collect();
    let writes: Vec<_> = late.iter().filter(|call| call.is_write()).collect();
    assert!(writes.is_empty(), "it wrote after its deadline: {writes:#?}");
    // Control: reads that precede writes got their responses after the deadline.
    for read in ["get deployments/scale", "get services (metadata)"] {
        assert!(late.iter().any(|call| call.shape == read), "no late response to {read}: {late:#?}");
    }
    assert!(leader.is_running());
}

/// Half of the replicas have not been scraped for longer than the window and the range of the query. The new leader has never
/// seen their samples, and must not take the remaining scrape targets for all of them.
#[tokio::test(start_paused = true)]
async fn change_of_leader_still_detects_missing_scrape_targets() {
    let world = World::default();
    let leader = world.operator("plimsoll-0");
    sleep(Duration::from_secs(1)).await;
    let _follower = world.operator("plimsoll-1");
    deployment(&world, "half", "web", 10);
    world.prometheus.set(&dial("half"), Value::Total { value: 95.0, targets: 10 });
    DialService::on("half", "web").apply(&world);
    let (target, service) =
        (world.follow("deployments", "half", "web"), world.follow("scalableservices", "half", "web"));
    let at_10 = |target: &Version| target.replicas() == 10;
    target.stays("at 10", Duration::from_secs(300), at_10).await;
    world.prometheus.set(&dial("half"), Value::Total { value: 47.5, targets: 5 });
    target.stays("at 10", Duration::from_secs(600), at_10).await;
    leader.kill().await;
    let taken = || world.leader().starts_with("plimsoll-1_").then_some(());
    world.until("the other leads", TAKE_OVER, taken).await;
    target.stays("at 10", Duration::from_secs(600), at_10).await;
    let ready = service.last().condition("Ready");
    assert!(ready.contains("5 of 10 expected scrape targets answered"), "Ready is {ready}");
    // Control: if all scrape targets have samples, it is the load that fell.
    world.prometheus.set(&dial("half"), Value::Total { value: 47.5, targets: 10 });
    target.wait("at 5", Duration::from_secs(60), |target| target.replicas() == 5).await;
}
