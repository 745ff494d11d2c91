//! Outages of HAProxy, the agent or the API server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{Client, wait},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_haproxy_is_fully_reconfigured() {
    let mut fixture = Fixture::running(1, &json!({"sessionPersistence": {"cookie": "SID"}})).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    let _b = fixture.replica(2, Duration::from_millis(1)).await;
    fixture.programmed(2).await;
    fixture.balancer.kill().await;
    fixture.until("HAProxy is missing", |status| !status.in_sync).await;
    // Changes in the meantime are in the file that it starts with.
    let _c = fixture.replica(3, Duration::from_millis(1)).await;
    fixture.remove(1);
    wait(300).await;
    fixture.balancer.spawn();
    let began = Instant::now();
    let status = fixture.until("it is in sync again", |status| status.in_sync).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((status.programmed, status.message), (2, None));
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_without_the_api_server_uses_its_saved_copy() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    let copy = fixture.balancer.folder.join("known.json");
    while !std::fs::read_to_string(&copy).unwrap_or_default().contains("checkout-1") {
        wait(20).await;
    }
    let (balancer, front, _) = fixture.crash().await;
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap().status, 200, "HAProxy needs no agent");
    let mut again = Fixture::of(balancer).await;
    again.programmed(1).await;
    assert_eq!(again.status.borrow().observed_generation, Some(1));
    assert_eq!(again.metric("plimsoll_balancer_reloads_total"), 0.0);
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_data_changes_nothing() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    let (balancer, front, _) = fixture.crash().await;
    std::fs::remove_file(balancer.folder.join("known.json")).unwrap();
    let config = std::fs::read(balancer.folder.join("haproxy.cfg")).unwrap();
    let again = Fixture::of(balancer).await;
    // Longer than the agent waits for the API server.
    wait(4_000).await;
    assert_eq!(again.status.borrow().pod, "", "nothing is reported either");
    assert_eq!(std::fs::read(again.balancer.folder.join("haproxy.cfg")).unwrap(), config);
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap().status, 200);
}
