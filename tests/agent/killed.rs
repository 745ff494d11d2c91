//! HAProxy is killed: whoever connects until it is back waits, and is served.

use std::{
    io::ErrorKind::ConnectionRefused,
    time::{Duration, Instant},
};

use plimsoll::{
    api::Software,
    balancer::{ServerState, agent::stop},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    scene::Scene,
    support::{Balancer, Client, Reached as _, Replica, eventually, wait, wanted},
};

const DELAY: Duration = Duration::from_millis(1);

/// That many clients ask on connections of their own.
fn ask(scene: &Scene, clients: usize) -> JoinSet<std::io::Result<String>> {
    let front = scene.front;
    (0..clients)
        .map(|_| async move { Client::new(front).get("/", &[]).await.map(|answer| answer.body) })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_before_it_is_back_is_served_then() {
    let mut scene = Scene::running(1, &json!({})).await;
    let a = scene.replica(1, DELAY).await;
    scene.programmed(1).await;
    for round in 1..=3 {
        scene.balancer.kill().await;
        let clients = ask(&scene, 50);
        wait(700).await;
        assert_eq!(clients.len(), 50, "nobody was refused");
        scene.balancer.spawn();
        for body in clients.join_all().await {
            assert_eq!(body.unwrap(), a.name, "round {round}");
        }
        scene.until("it is in sync", |status| status.in_sync).await;
        // What took the sockets over passes them on, to a reload too.
        scene.tell(round + 1, 1, &json!({"slowStart": format!("{round}s")}));
        scene
            .until("it is reloaded", |status| status.observed_generation == Some(round + 1) && status.in_sync)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_than_for_a_replica() {
    let mut scene = Scene::running(1, &json!({"limits": {"queueTimeout": "2s"}})).await;
    let _a = scene.replica(1, DELAY).await;
    scene.programmed(1).await;
    scene.balancer.kill().await;
    let began = Instant::now();
    let clients = ask(&scene, 10);
    let answers = clients.join_all().await;
    assert!(answers.iter().all(Result::is_err), "HAProxy is not there");
    let waited = began.elapsed();
    assert!((1_900..4_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(Client::new(scene.front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_they_are_refused() {
    let a = Replica::start("a", DELAY).await;
    let wanted = wanted(json!({})).with([a.server(ServerState::Ready)]);
    let mut balancer = Balancer::start(&wanted).await;
    balancer.kill().await;
    assert_eq!(Client::new(wanted.front()).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_is_stopped_lets_its_ports_go() {
    let mut scene = Scene::running(1, &json!({})).await;
    let a = scene.replica(1, DELAY).await;
    scene.programmed(1).await;
    let front = scene.front;
    let slow = tokio::spawn(async move { Client::new(front).get("/15000ms", &[]).await });
    eventually("it is busy", || async { (a.working() == 1).then_some(()) }).await;
    let folder = scene.balancer.folder.clone();
    let stopping =
        tokio::spawn(async move { stop(Software::HAProxy, &folder, Duration::from_secs(20)).await });
    wait(8_000).await;
    assert!(!stopping.is_finished() && !slow.is_finished(), "a request is finished");
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    stopping.await.unwrap().unwrap();
}
