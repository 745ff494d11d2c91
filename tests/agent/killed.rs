//! HAProxy is killed: new connections queue until it is back, and are served.

use std::{
    io::ErrorKind::ConnectionRefused,
    time::{Duration, Instant},
};

use plimsoll::balancer::{ServerState, agent::stop};
use plimsoll_api::Software;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::UnixStream, task::JoinSet};

use crate::{
    fixture::Fixture,
    support::{Balancer, Client, Reached as _, Replica, balancer::free_port, eventually, wait, wanted},
};

const DELAY: Duration = Duration::from_millis(1);

/// Sends a request of each of this many clients, on new connections.
fn ask(fixture: &Fixture, clients: usize) -> JoinSet<std::io::Result<String>> {
    let front = fixture.front;
    (0..clients)
        .map(|_| async move { Client::new(front).get("/", &[]).await.map(|answer| answer.body) })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_queue_until_haproxy_is_back() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    for round in 1..=3 {
        fixture.balancer.kill().await;
        let mut clients = ask(&fixture, 50);
        wait(700).await;
        assert!(clients.try_join_next().is_none(), "a client was refused");
        fixture.balancer.spawn();
        for body in clients.join_all().await {
            assert_eq!(body.unwrap(), a.name, "round {round}");
        }
        fixture.until("it is in sync", |status| status.in_sync).await;
        // The new process hands the sockets over to a reload.
        fixture.set_spec(round + 1, 1, &json!({"slowStart": format!("{round}s")}));
        fixture
            .until("it is reloaded", |status| status.observed_generation == Some(round + 1) && status.in_sync)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_connections_are_closed_if_haproxy_does_not_start() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    fixture.balancer.kill().await;
    let began = Instant::now();
    let clients = ask(&fixture, 10);
    let answers = clients.join_all().await;
    assert!(answers.iter().all(Result::is_err), "HAProxy is not running");
    let waited = began.elapsed();
    assert!((4_900..7_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_listener_port_is_closed() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    let (before, port) = (fixture.front, free_port());
    fixture.set_spec(2, 1, &json!({"listeners": [{"port": port}]}));
    fixture
        .until("on the other port", |status| status.observed_generation == Some(2) && status.in_sync)
        .await;
    eventually("the old port is closed", || async {
        (Client::new(before).get("/", &[]).await.err()?.kind() == ConnectionRefused).then_some(())
    })
    .await;
    fixture.front.set_port(port);
    fixture.balancer.kill().await;
    let clients = ask(&fixture, 10);
    fixture.balancer.spawn();
    assert!(clients.join_all().await.iter().all(Result::is_ok), "the new port was not kept");
}

/// HAProxy may have opened its own sockets then; copies beside them would get half of the connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handover_leaves_no_copies_of_the_sockets() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    fixture.balancer.kill().await;
    let mut starts = UnixStream::connect(&fixture.balancer.driver.paths().listening).await.unwrap();
    starts.write_all(b"_getsocks\n").await.unwrap();
    let queued = ask(&fixture, 1);
    eventually("the sockets are requested", || async { starts.try_read(&mut [0; 4]).ok() }).await;
    drop(starts);
    assert!(queued.join_all().await[0].is_err());
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_new_connections_are_refused() {
    let a = Replica::start("a", DELAY).await;
    let wanted = wanted(json!({})).with([a.server(ServerState::Ready)]);
    let mut balancer = Balancer::start(&wanted).await;
    balancer.kill().await;
    assert_eq!(Client::new(wanted.front()).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_balancer_closes_its_ports_and_finishes_its_requests() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    let front = fixture.front;
    let slow = tokio::spawn(async move { Client::new(front).get("/15000ms", &[]).await });
    eventually("it is busy", || async { (a.working() == 1).then_some(()) }).await;
    let folder = fixture.balancer.folder.clone();
    let stopping =
        tokio::spawn(async move { stop(Software::HAProxy, &folder, Duration::from_secs(20)).await });
    wait(8_000).await;
    assert!(!stopping.is_finished() && !slow.is_finished(), "the request must not be finished yet");
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    stopping.await.unwrap().unwrap();
}
