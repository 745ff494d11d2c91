//! HAProxy is killed: whoever connects until it is back waits, and is served.

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

/// That many clients ask on connections of their own.
fn ask(fixture: &Fixture, clients: usize) -> JoinSet<std::io::Result<String>> {
    let front = fixture.front;
    (0..clients)
        .map(|_| async move { Client::new(front).get("/", &[]).await.map(|answer| answer.body) })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_before_it_is_back_is_served_then() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    for round in 1..=3 {
        fixture.balancer.kill().await;
        let mut clients = ask(&fixture, 50);
        wait(700).await;
        assert!(clients.try_join_next().is_none(), "somebody was refused");
        fixture.balancer.spawn();
        for body in clients.join_all().await {
            assert_eq!(body.unwrap(), a.name, "round {round}");
        }
        fixture.until("it is in sync", |status| status.in_sync).await;
        // What took the sockets over passes them on, to a reload too.
        fixture.tell(round + 1, 1, &json!({"slowStart": format!("{round}s")}));
        fixture
            .until("it is reloaded", |status| status.observed_generation == Some(round + 1) && status.in_sync)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_than_for_a_start() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    fixture.balancer.kill().await;
    let began = Instant::now();
    let clients = ask(&fixture, 10);
    let answers = clients.join_all().await;
    assert!(answers.iter().all(Result::is_err), "HAProxy is not there");
    let waited = began.elapsed();
    assert!((4_900..7_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_given_up_is_closed() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    let (before, port) = (fixture.front, free_port());
    fixture.tell(2, 1, &json!({"listeners": [{"port": port}]}));
    fixture
        .until("on the other port", |status| status.observed_generation == Some(2) && status.in_sync)
        .await;
    eventually("the port before is closed", || async {
        (Client::new(before).get("/", &[]).await.err()?.kind() == ConnectionRefused).then_some(())
    })
    .await;
    fixture.front.set_port(port);
    fixture.balancer.kill().await;
    let clients = ask(&fixture, 10);
    fixture.balancer.spawn();
    assert!(clients.join_all().await.iter().all(Result::is_ok), "the new port was not kept");
}

/// It may have sockets of its own then, beside which copies would take half of the connections away.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_handover_that_fails_no_copies_are_left() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _a = fixture.replica(1, DELAY).await;
    fixture.programmed(1).await;
    fixture.balancer.kill().await;
    let mut starts = UnixStream::connect(&fixture.balancer.driver.paths().listening).await.unwrap();
    starts.write_all(b"_getsocks\n").await.unwrap();
    let waits = ask(&fixture, 1);
    eventually("it has asked", || async { starts.try_read(&mut [0; 4]).ok() }).await;
    drop(starts);
    assert!(waits.join_all().await[0].is_err());
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
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
    assert!(!stopping.is_finished() && !slow.is_finished(), "a request is finished");
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap_err().kind(), ConnectionRefused);
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    stopping.await.unwrap().unwrap();
}
