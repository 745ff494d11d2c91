//! Outages of the API server, and a partition of one of two operators from it.

use std::time::Duration;

use plimsoll_harness::history::Version;
use serde_json::json;
use tokio::time::sleep;

use crate::outage::{NAMESPACE, RECOVERY, SHOP, Shop};

/// Replicas for twice the load, within the tolerance.
const RISEN: i64 = 19;

#[tokio::test(start_paused = true)]
async fn load_doubled_during_an_api_server_outage_is_followed_after_it() {
    let shop = Shop::open().await;
    let operators = [shop.world.operator("plimsoll-0"), shop.world.operator("plimsoll-1")];
    let before = shop.calm().await;
    let mark = shop.target().mark();
    let away = shop.world.server.outage();
    shop.rise(8.0);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(shop.target().last().replicas(), before);
    shop.world.server.compact();
    away.end();
    let risen = |target: &Version| target.replicas() >= RISEN;
    shop.target().wait("19 replicas", Duration::from_secs(30), risen).await;
    shop.wait_for_ready("True", RECOVERY).await;
    let replicas: Vec<i64> = shop.target().since(mark).iter().map(Version::replicas).collect();
    assert!(replicas.is_sorted(), "the load only rose, but the replicas were {replicas:?}");
    assert!(operators.iter().all(plimsoll_harness::world::Operator::is_running));
}

#[tokio::test(start_paused = true)]
async fn partitioned_leader_is_replaced_and_returns_as_follower() {
    let shop = Shop::open().await;
    let first = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let second = shop.world.operator("plimsoll-1");
    sleep(Duration::from_secs(5)).await;
    let mark = shop.target().mark();
    let partition = shop.world.server.partition(first.name());
    let taken = || shop.world.leader().starts_with("plimsoll-1_").then_some(());
    shop.world.until("the other leads", Duration::from_secs(20), taken).await;
    shop.world.objects.patch("scalableservices", NAMESPACE, SHOP, json!({"spec": {"minReplicas": 15}}));
    shop.target().wait("15 replicas", RECOVERY, |target| target.replicas() >= 15).await;
    let back = shop.world.clock.now();
    partition.end();
    sleep(Duration::from_secs(60)).await;
    assert!(shop.world.leader().starts_with("plimsoll-1_"));
    let calls = shop.world.server.calls();
    let writes =
        calls.iter().filter(|call| call.client == first.name() && call.at >= back && call.is_write());
    assert_eq!(writes.count(), 0, "the follower wrote");
    assert!(shop.target().fewest(mark) >= before);
    assert!(first.is_running() && second.is_running());
}
