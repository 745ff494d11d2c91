//! The preStop hook.

use std::time::{Duration, Instant};

use plimsoll::balancer::agent::stop;
use plimsoll_api::Software;
use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{Client, Load, wait},
};

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_are_served_while_the_hook_waits_and_kept_ones_are_closed() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    // A client with ten requests a second on one connection, until the balancer closes it.
    let front = fixture.front;
    let keeps = tokio::spawn(async move {
        let mut client = Client::new(front);
        let mut answers = 0;
        loop {
            let answer = client.get("/", &[]).await.expect("no request is lost");
            assert_eq!(answer.status, 200);
            answers += 1;
            if answer.head.to_lowercase().contains("connection: close") {
                return answers;
            }
            wait(100).await;
        }
    });
    let connects = Load::start(front, 4, false, "/");
    let folder = fixture.balancer.folder.clone();
    let began = Instant::now();
    let stopping =
        tokio::spawn(async move { stop(Software::HAProxy, &folder, Duration::from_secs(40)).await });
    // The Service takes this long to send new connections elsewhere.
    wait(5_000).await;
    assert!(!stopping.is_finished(), "clients still connect");
    let account = connects.finish().await;
    assert!(account.ok > 100);
    assert_eq!(account.lost(), 0);
    assert!(keeps.await.unwrap() >= 50, "the connection must stay open for 5 s");
    tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("it ends").unwrap().unwrap();
    println!("stopped after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_ends_in_time_despite_a_slow_request_and_immediately_without_haproxy() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let a = fixture.replica(1, Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    let front = fixture.front;
    let slow = tokio::spawn(async move { Client::new(front).get("/60000ms", &[]).await });
    while a.working() == 0 {
        wait(5).await;
    }
    let began = Instant::now();
    stop(Software::HAProxy, &fixture.balancer.folder, Duration::from_secs(6)).await.unwrap();
    assert!((6..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    slow.abort();
    let began = Instant::now();
    stop(Software::HAProxy, std::path::Path::new("/nowhere"), Duration::from_secs(6)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}
