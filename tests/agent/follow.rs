//! Endpoints, drains, refused specs, and foreign changes of HAProxy.

use std::time::{Duration, Instant};

use plimsoll::balancer::Resources;
use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{
        Client, Load, all_served, eventually,
        slow::{self, IDLE},
        wait,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_followed_under_load_without_a_reload() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _stays = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    let load = Load::start(fixture.front, 8, true, "/");
    for round in 0..5 {
        // New addresses: a port is not free immediately after its replica has ended.
        let numbers = 2 + round * 10..12 + round * 10;
        let mut replicas = Vec::new();
        for number in numbers.clone() {
            replicas.push(fixture.replica(number, Duration::from_millis(1)).await);
        }
        fixture.programmed(11).await;
        all_served(&replicas).await;
        for number in numbers.clone() {
            fixture.endpoint(number, false, true);
        }
        fixture.programmed(1).await;
        for number in numbers {
            fixture.remove(number);
        }
        wait(100).await;
    }
    let account = load.finish().await;
    assert!(account.ok > 100, "{account:?}");
    assert_eq!(account.lost(), 0);
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 0.0);
    assert!(fixture.metric("plimsoll_balancer_endpoint_applied_seconds_count") >= 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_drained_only_when_its_last_request_is_over() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    let front = fixture.front;
    let slow = tokio::spawn(async move { Client::new(front).get("/1500ms", &[]).await });
    while a.working() == 0 {
        wait(5).await;
    }
    let _b = fixture.replica(2, Duration::from_millis(1)).await;
    fixture.programmed(2).await;
    fixture.drain(&["checkout-1", "checkout-gone"]);
    let status = fixture.until("the departed pod is drained", |status| !status.drained.is_empty()).await;
    assert_eq!((status.drained, status.programmed), (vec!["checkout-gone".to_owned()], 1));
    assert_eq!(a.working(), 1);
    let status = fixture.until("both are drained", |status| status.drained.len() == 2).await;
    assert_eq!(a.working(), 0);
    assert!(status.in_sync, "{status:?}");
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    // Cancelled: it serves again.
    fixture.drain(&[]);
    fixture.programmed(2).await;
    let status = fixture.status.borrow().clone();
    assert!(status.drained.is_empty(), "{status:?}");
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..10 {
        names.insert(Client::new(front).get("/", &[]).await.unwrap().body);
    }
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_spec_is_reported_and_endpoints_are_still_followed() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    // The Secret is missing, and so is its file.
    let listeners = json!([{"port": fixture.front.port(), "tls": {"secretName": "shop-tls"}}]);
    fixture.set_spec(2, 1, &json!({"listeners": listeners}));
    let status = fixture.until("it is refused", |status| status.message.is_some()).await;
    assert!(!status.in_sync && status.observed_generation == Some(1), "{status:?}");
    assert!(status.message.unwrap().contains("shop-tls"));
    let _b = fixture.replica(2, Duration::from_millis(1)).await;
    fixture.until("the new replica gets requests", |status| status.programmed == 2).await;
    // A restarted agent knows the running spec.
    let copy = fixture.balancer.folder.join("known.json");
    while !std::fs::read_to_string(&copy).unwrap_or_default().contains("shop-tls") {
        wait(20).await;
    }
    let (balancer, front, port) = fixture.crash().await;
    let mut fixture = Fixture::of(balancer).await;
    (fixture.front, fixture.port) = (front, port);
    fixture.set_spec(2, 1, &json!({"listeners": listeners}));
    fixture.endpoint(1, true, false);
    let _c = fixture.replica(3, Duration::from_millis(1)).await;
    let status = fixture.until("the endpoints are followed", |status| status.programmed == 2).await;
    assert!(!status.in_sync && status.message.is_some_and(|words| words.contains("shop-tls")));
    fixture.set_spec(3, 1, &json!({"algorithm": "RoundRobin"}));
    let status = fixture.until("a valid spec is applied", |status| status.in_sync).await;
    assert_eq!((status.observed_generation, status.message), (Some(3), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_change_of_haproxy_is_repaired() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    fixture.balancer.ask("set server checkout/checkout-1 state maint").await;
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap().status, 503);
    let repaired = async {
        while fixture.metric("plimsoll_balancer_drift_repairs_total") < 1.0 {
            wait(50).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(12), repaired)
        .await
        .expect("within the 10 s between two comparisons");
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_replica_that_fails_its_health_checks_is_reported_within_seconds() {
    let check = json!({"healthCheck": {"interval": "500ms", "rise": 1, "fall": 2}});
    let mut fixture = Fixture::running(1, &check).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    let b = fixture.replica(2, Duration::from_millis(1)).await;
    fixture.programmed(2).await;
    assert!(fixture.status.borrow().down.is_empty());
    let begin = Instant::now();
    b.die();
    let status = fixture.until("it is found down", |status| !status.down.is_empty()).await;
    assert_eq!((status.down, status.programmed, status.in_sync), (vec!["checkout-2".to_owned()], 1, true));
    println!("reported after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    let again = fixture.replica(2, Duration::from_millis(1)).await;
    let status = fixture.until("it is up again", |status| status.down.is_empty()).await;
    assert_eq!(status.programmed, 2);
    // A draining replica is not reported: it gets no requests anyway.
    drop(again);
    fixture.until("it is down once more", |status| !status.down.is_empty()).await;
    fixture.drain(&["checkout-2"]);
    fixture.until("the draining replica is not reported", |status| status.down.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ready_balancer_uses_the_whole_limit_of_each_replica() {
    let more = json!({"replicas": 2, "limits": {"connectionsPerReplica": 10}});
    let mut fixture = Fixture::running(1, &more).await;
    let _replica = fixture.replica(1, Duration::ZERO).await;
    fixture.programmed(1).await;
    for (ready, share) in [(None, 5), (Some(1), 10), (Some(3), 5), (Some(0), 10), (Some(2), 5)] {
        fixture.update(|known| known.service.as_mut().unwrap().balancers = ready);
        eventually("the expected share of the limit", || async {
            let servers = fixture.balancer.driver.servers().await.unwrap();
            let seen = fixture.balancer.driver.observe().await.unwrap().servers;
            (servers.len() == 1 && seen["checkout-1"].maxconn == share).then_some(())
        })
        .await;
    }
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn saturation_is_in_the_status_and_a_metric() {
    let fixture = Fixture::running(1, &json!({})).await;
    let half = Resources::default().capacity().connections / 2;
    let _idle = slow::connections(fixture.front, half as usize, IDLE);
    let saturation = || async {
        let ratio = fixture.metric("plimsoll_balancer_saturation_ratio");
        (0.49..=0.51).contains(&ratio).then_some(())
    };
    eventually("half of the connections are in use", saturation).await;
    // The status follows in steps of 10.
    let reported = *fixture.saturation.borrow();
    assert!(reported.is_some_and(|percent| (40..=60).contains(&u8::from(percent))), "{reported:?}");
}
