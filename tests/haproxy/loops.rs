//! Services that are each other's standby, and a service that is its own: no request goes round.

use std::time::Duration;

use plimsoll::balancer::{ServerState::Ready, Standby, Wanted};
use plimsoll_api::Percent;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, unused_address, wanted};

/// With the front door of another service, or its own, as its standby.
fn with_standby(wanted: &Wanted, other: &Wanted, weight: u8) -> Wanted {
    let addresses = vec![other.front()];
    let weight = Percent::clamped(weight.into());
    let standby = Standby { name: "other".to_owned(), addresses, weight, replicas: 1, tls: None };
    Wanted { standbys: vec![standby], ..wanted.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_each_others_standby_form_no_loop() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let (a, b) = (wanted(json!({})), wanted(json!({})));
    let first = Balancer::start(&with_standby(&a, &b, 100)).await;
    let second = Balancer::start(&with_standby(&b, &a, 100)).await;
    assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().status, 508);
    assert_eq!(Client::new(b.front()).get("/", &[]).await.unwrap().status, 508);

    // Of what comes from the other, a service that sends half of its own on serves all.
    second.sync(&with_standby(&b.with([replica.server(Ready)]), &a, 50)).await;
    for _ in 0..40 {
        assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().body, "checkout-0");
    }
    assert_eq!(replica.served(), 40);
    let head = replica.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("plimsoll-server: checkout-0\r\n"), "it says where it is now: {head}");

    // Its own address under another name.
    first.sync(&with_standby(&a, &a, 100)).await;
    assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().status, 508);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_for_a_replica_says_too_that_it_was_sent_on() {
    let gate = TcpListener::bind(unused_address()).await.unwrap();
    let standby = Replica::start("other", Duration::ZERO).await;
    let mut service = wanted(json!({"algorithm": "RoundRobin"}));
    service.gate = Some(gate.local_addr().unwrap());
    let place = |weight| Wanted { standbys: vec![standby.standby(weight)], ..service.clone() };
    let balancer = Balancer::start(&place(0)).await;
    let front = service.front();
    let requests: Vec<_> =
        (0..2).map(|_| tokio::spawn(async move { Client::new(front).get("/", &[]).await })).collect();
    let _first = gate.accept().await.unwrap();
    eventually("both wait", || async { (balancer.driver.held().await.unwrap() == 2).then_some(()) }).await;
    balancer.sync(&place(100)).await;
    eventually("one is served elsewhere", || async { (standby.served() > 0).then_some(()) }).await;
    let head = standby.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("plimsoll-server: _instead_other\r\n"), "{head}");
    requests.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A replica that passes on what it gets, as a proxy does, is not taken for a balancer.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_request_that_says_nothing_of_a_standby_is_sent_on() {
    let standby = Replica::start("other", Duration::ZERO).await;
    let service = Wanted { standbys: vec![standby.standby(100)], ..wanted(json!({})) };
    let _balancer = Balancer::start(&service).await;
    for (header, status) in [("plimsoll-server: checkout-7", 200), ("plimsoll-server: _standby_other", 508)] {
        assert_eq!(
            Client::new(service.front()).get("/", &[header]).await.unwrap().status,
            status,
            "{header}"
        );
    }
}
