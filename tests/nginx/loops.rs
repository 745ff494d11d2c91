//! Services that are each other's standby, and a service that is its own standby: no request loops.

use std::time::Duration;

use plimsoll::balancer::{ServerState::Ready, Standby, Wanted};
use plimsoll_api::Percent;
use serde_json::json;

use crate::{
    proxy::{Proxy, wanted},
    support::{Client, Reached as _, Replica},
};

/// The wanted state with another service's balancer, or the service's own, as standby.
fn with_standby(wanted: &Wanted, other: &Wanted, weight: u8) -> Wanted {
    let addresses = vec![other.front()];
    let weight = Percent::clamped(weight.into());
    let standby = Standby { name: "other".to_owned(), addresses, weight, replicas: 0, tls: None };
    Wanted { standbys: vec![standby], ..wanted.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_each_others_standby_form_no_loop() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let (a, b) = (wanted(&json!({})), wanted(&json!({})));
    let first = Proxy::start(&with_standby(&a, &b, 100)).await;
    let second = Proxy::start(&with_standby(&b, &a, 100)).await;
    assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().status, 508);
    assert_eq!(Client::new(b.front()).get("/", &[]).await.unwrap().status, 508);

    // A service that forwards half of its own requests serves all that are forwarded to it.
    second.sync(&with_standby(&b.with([replica.server(Ready)]), &a, 50)).await;
    for _ in 0..40 {
        assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().body, "checkout-0");
    }
    assert_eq!(replica.served(), 40);
    let head = replica.heads.lock().unwrap()[0].to_lowercase();
    assert!(!head.contains("plimsoll-server"), "a replica does not get the marker: {head}");

    // Its own address under another name.
    first.sync(&with_standby(&a, &a, 100)).await;
    assert_eq!(Client::new(a.front()).get("/", &[]).await.unwrap().status, 508);
}

/// Control: requests through a replica that is a proxy are not taken for a balancer's.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_request_without_a_standby_marker_is_forwarded() {
    let standby = Replica::start("other", Duration::ZERO).await;
    let service = Wanted { standbys: vec![standby.standby(100)], ..wanted(&json!({})) };
    let _proxy = Proxy::start(&service).await;
    for (header, status) in [("plimsoll-server: checkout-7", 200), ("plimsoll-server: _standby_other", 508)] {
        assert_eq!(
            Client::new(service.front()).get("/", &[header]).await.unwrap().status,
            status,
            "{header}"
        );
    }
    let head = standby.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("plimsoll-server: _standby_other\r\n"), "{head}");
}
