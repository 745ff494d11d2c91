//! Headers on the client's identity: the balancer replaces them, unless they are from a trusted proxy.

use std::{net::Ipv6Addr, time::Duration};

use plimsoll::balancer::ServerState::Ready;
use serde_json::{Value, json};

use crate::support::{
    Balancer, Client, Reached as _, Replica,
    forwarded::{FORGED, assert_replaced, through_proxy, values},
    wanted,
};

/// The replica behind a balancer on all addresses, after one request with forged headers.
async fn asked(more: Value) -> Replica {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let wanted = wanted(more).with([replica.server(Ready)]);
    let _balancer = Balancer::on(Ipv6Addr::UNSPECIFIED.into()).run(&wanted).await;
    let over_ipv6 = (Ipv6Addr::LOCALHOST, wanted.front().port()).into();
    assert_eq!(Client::new(over_ipv6).get("/", &[]).await.unwrap().status, 200);
    assert_eq!(values(&replica, "x-forwarded-for"), ["::1"]);
    assert_eq!(Client::new(wanted.front()).get("/", &FORGED).await.unwrap().status, 200);
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_headers_are_replaced_and_an_ipv4_address_is_written_as_ipv4() {
    let replica = asked(json!({})).await;
    assert_replaced(&replica);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_trusted_proxy_are_passed_on() {
    let replica = asked(json!({"trustedProxies": ["127.0.0.0/8"]})).await;
    assert_eq!(values(&replica, "x-forwarded-for").join(", "), "10.9.8.7, 127.0.0.1");
    assert_eq!(values(&replica, "x-real-ip"), ["10.9.8.7"]);
    assert_eq!(values(&replica, "x-forwarded-host"), ["bank.example"]);
    assert_eq!(values(&replica, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&replica, "forwarded"), ["for=10.9.8.7;proto=https"]);
    assert_eq!(values(&replica, "x-request-id"), ["0123456789"]);
    assert_eq!(values(&replica, "plimsoll-server"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_of_a_trusted_proxy_sets_the_client_address() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let more = json!({"trustedProxies": ["127.0.0.0/8"], "proxyProtocol": true});
    let wanted = wanted(more).with([replica.server(Ready)]);
    let _balancer = Balancer::on(Ipv6Addr::UNSPECIFIED.into()).run(&wanted).await;
    let port = wanted.front().port();
    assert_eq!(through_proxy(port, [127, 0, 0, 1].into()).await, "HTTP/1.1 200 OK");
    assert_eq!(values(&replica, "x-forwarded-for"), ["192.0.2.7"], "the client itself is not trusted");
    assert_eq!(values(&replica, "x-real-ip"), ["192.0.2.7"]);
    let untrusted = through_proxy(port, Ipv6Addr::LOCALHOST.into()).await;
    assert!(!untrusted.contains("200"), "{untrusted}");
    let plain = (Ipv6Addr::LOCALHOST, port).into();
    assert_eq!(Client::new(plain).get("/", &[]).await.unwrap().status, 200, "others connect without it");
    assert_eq!(values(&replica, "x-forwarded-for"), ["::1"]);
}
