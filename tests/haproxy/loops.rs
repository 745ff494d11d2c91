//! Services that are each other's standby, and a service that is its own standby: no request loops.

use std::time::Duration;

use plimsoll::balancer::{ServerState::Ready, Standby, Wanted};
use plimsoll_api::Percent;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, unused_address, wanted};

/// The wanted state with another service's balancer, or the service's own, as standby.
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

    // A service that forwards half of its own requests serves all that are forwarded to it.
    second.sync(&with_standby(&b.with([replica.server(Ready)]), &a, 50)).await;
    for _ in 0..40 {
        assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().body, "checkout-0");
    }
    assert_eq!(replica.served(), 40);
    let head = replica.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("plimsoll-server: checkout-0\r\n"), "the marker has the present server: {head}");

    // Its own address under another name.
    first.sync(&with_standby(&a, &a, 100)).await;
    assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().status, 508);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_that_is_forwarded_has_the_marker_too() {
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
    eventually("both held", || async { (balancer.driver.held().await.unwrap() == 2).then_some(()) }).await;
    balancer.sync(&place(100)).await;
    eventually("the standby serves one", || async { (standby.served() > 0).then_some(()) }).await;
    let head = standby.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("plimsoll-server: _instead_other\r\n"), "{head}");
    requests.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Control: a replica that forwards the header, as a proxy does, is not taken for a balancer.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_request_without_a_standby_marker_is_forwarded() {
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
