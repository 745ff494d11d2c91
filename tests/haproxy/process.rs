//! The wanted state holds when HAProxy dies, is reloaded, or refuses a configuration.

use std::time::Duration;

use plimsoll::balancer::{
    DriverError, Resources,
    ServerState::{Drain, Ready},
    Wanted,
    haproxy::AdminState,
};
use plimsoll_api::Percent;
use serde_json::json;

use crate::support::{
    Balancer, Client, Load, Reached as _, Replica, eventually,
    slow::{self, IDLE, REQUEST},
    wait, wanted,
};

const DELAY: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_has_the_servers_from_its_file_and_gets_the_rest_immediately() {
    let (first, second) = (Replica::start("a", DELAY).await, Replica::start("b", DELAY).await);
    let empty = wanted(json!({"sessionPersistence": {"cookie": "SID"}}));
    let mut balancer = Balancer::start(&empty).await;
    let wanted = empty.with([first.server(Ready), second.server(Drain)]);
    balancer.sync(&wanted).await;
    let epoch = balancer.driver.epoch().await.unwrap();
    balancer.kill().await;
    assert!(balancer.driver.sync(&wanted).await.unwrap_err().is_down());
    balancer.spawn();
    balancer.up().await;
    // Before the first sync: the state of the file.
    for _ in 0..5 {
        assert_eq!(Client::new(wanted.front()).get("/", &[]).await.unwrap().body, "a");
    }
    assert_ne!(balancer.driver.epoch().await.unwrap(), epoch);
    let report = balancer.sync(&wanted).await;
    assert_eq!(report.seen.servers["b"].admin, AdminState::Drain);
    // A server that was draining at the start gets a full share again.
    let report = balancer.sync(&empty.with([first.server(Drain), second.server(Ready)])).await;
    assert!(report.seen.servers["b"].usable() && !report.seen.servers["a"].usable());
    assert_eq!(Client::new(wanted.front()).get("/", &[]).await.unwrap().body, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_has_the_used_connections_requests_and_cpu_time() {
    let replica = Replica::start("a", Duration::from_secs(60)).await;
    let resources = Resources { memory: 64 << 20, ..Resources::default() };
    let limits = json!({"limits": {"connectionsPerReplica": 1}});
    let wanted = Wanted { resources, ..wanted(limits).with([replica.server(Ready)]) };
    let balancer = Balancer::start(&wanted).await;
    let usage = balancer.driver.usage().await.unwrap();
    assert_eq!((usage.connections, usage.requests), (Some(Percent::ZERO), Some(Percent::ZERO)));
    assert!(usage.cpu.is_some(), "{usage:?}");

    let most = resources.capacity().connections as usize;
    let about = |percent: Option<Percent>, expected: u8| {
        percent.is_some_and(|found| u8::from(found).abs_diff(expected) <= 1)
    };
    let _idle = slow::connections(wanted.front(), most / 2, IDLE);
    eventually("half of the connections are in use", || async {
        let usage = balancer.driver.usage().await.unwrap();
        (about(usage.connections, 50) && usage.requests == Some(Percent::ZERO)).then_some(())
    })
    .await;
    // All but one are queued.
    let _requests = slow::connections(wanted.front(), most / 4, REQUEST);
    eventually("a quarter of the requests are in use", || async {
        let usage = balancer.driver.usage().await.unwrap();
        (about(usage.connections, 75) && about(usage.requests, 25)).then_some(())
    })
    .await;
    assert_eq!(replica.served(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_over_and_requests_in_flight_are_finished() {
    let replica = Replica::start("a", DELAY).await;
    let mut wanted = wanted(json!({"drain": {"timeout": "8s"}})).with([replica.server(Ready)]);
    let balancer = Balancer::start(&wanted).await;
    let front = wanted.front();
    let slow = tokio::spawn(async move { Client::new(front).get("/7600ms", &[]).await });
    eventually("it is busy", || async { (replica.working() == 1).then_some(()) }).await;
    let load = Load::start(front, 4, false, "/");
    wanted.traffic.slow_start = Duration::from_secs(1).into();
    wanted.generation = 2;
    assert!(balancer.sync(&wanted).await.reloaded);
    assert!(!balancer.sync(&wanted).await.reloaded, "one reload is enough");
    // The old process still has a request of the replica, which the new process does not know.
    let draining = wanted.with([replica.server(Drain)]);
    wait(100).await;
    let account = load.finish().await;
    assert_eq!(account.lost(), 0, "of {} on fresh connections", account.sent);
    balancer.sync(&draining).await;
    let pods = ["a".to_owned(), "never-seen".to_owned()];
    eventually("it has closed its idle connections", || async {
        (balancer.driver.drained(&draining, &pods).await.unwrap() == ["never-seen"]).then_some(())
    })
    .await;
    assert!(!slow.is_finished(), "the drain must not wait for it");
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    eventually("no request is left", || async {
        (balancer.driver.drained(&draining, &pods).await.unwrap().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_haproxy_refuses_changes_nothing() {
    let replica = Replica::start("a", DELAY).await;
    let good = wanted(json!({})).with([replica.server(Ready)]);
    let balancer = Balancer::start(&good).await;
    let file = std::fs::read_to_string(&balancer.driver.paths().config).unwrap();
    let epoch = balancer.driver.epoch().await.unwrap();
    let mut bad = good.clone();
    bad.listeners[0].certificate = Some(balancer.folder.join("not-there.pem"));
    let error = balancer.driver.sync(&bad).await.unwrap_err();
    assert!(
        matches!(&error, DriverError::Refused { words, .. } if words.contains("not-there.pem")),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&balancer.driver.paths().config).unwrap(), file);
    assert_eq!(balancer.driver.epoch().await.unwrap(), epoch);
    assert_eq!(Client::new(good.front()).get("/", &[]).await.unwrap().body, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_fails_to_start_is_rolled_back() {
    let replica = Replica::start("a", DELAY).await;
    let good = wanted(json!({})).with([replica.server(Ready)]);
    let balancer = Balancer::start(&good).await;
    let file = std::fs::read_to_string(&balancer.driver.paths().config).unwrap();
    // The check cannot detect that another program listens on the port.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bad = good.clone();
    bad.listeners[0].port = taken.local_addr().unwrap().port();
    let error = balancer.driver.sync(&bad).await.unwrap_err();
    assert!(matches!(error, DriverError::Reload { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&balancer.driver.paths().config).unwrap(), file);
    assert_eq!(Client::new(good.front()).get("/", &[]).await.unwrap().body, "a");
    drop(taken);
    assert!(balancer.sync(&bad).await.reloaded, "it is applied once the port is free");
}
