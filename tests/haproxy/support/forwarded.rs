//! Clients with forged headers, and the headers that a replica gets.

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Replica;

/// Fields of `spec.traffic` for proxies in front and for logs.
pub fn fields() -> impl Strategy<Value = Value> {
    let networks =
        prop::sample::subsequence(vec!["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::/0"], 0..=4);
    let log = prop::sample::select(vec!["Off", "Errors", "Sampled", "All"]);
    (networks, any::<bool>(), log).prop_map(|(networks, speaks, log)| {
        let speaks = speaks && !networks.is_empty();
        json!({"trustedProxies": networks, "proxyProtocol": speaks, "accessLog": log})
    })
}

/// Headers of a client that pretends to be a proxy.
pub const FORGED: [&str; 11] = [
    "x-forwarded-for: 10.9.8.7",
    "x-real-ip: 10.9.8.7",
    "forwarded: for=10.9.8.7;proto=https",
    "x-forwarded-host: bank.example",
    "x-forwarded-proto: https",
    "x-forwarded-prefix: /admin",
    "x-forwarded-user: root",
    "x_forwarded_for: 10.9.8.7",
    "x_real_ip: 10.9.8.7",
    "x-request-id: 0123456789",
    "plimsoll-server: checkout-9",
];

/// Values of a header in the last request that the replica got.
pub fn values(replica: &Replica, name: &str) -> Vec<String> {
    let head = replica.heads.lock().unwrap().last().unwrap().to_lowercase();
    let value = |line: &str| line.strip_prefix(&format!("{name}: ")).map(str::to_owned);
    head.lines().filter_map(value).collect()
}

/// The first line of the answer to a request after a header of the PROXY protocol.
pub async fn through_proxy(port: u16, address: IpAddr) -> String {
    let mut stream = TcpStream::connect((address, port)).await.unwrap();
    let request = "PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\nGET / HTTP/1.1\r\nhost: shop.example\r\n\
                   x-forwarded-for: 10.9.8.7\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _cut_is_fine = stream.read_to_string(&mut answer).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Checks the replica's headers after an IPv4 client on this machine has sent [`FORGED`]: all are replaced.
pub fn assert_replaced(replica: &Replica) {
    assert_eq!(values(replica, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(replica, "x-real-ip"), ["127.0.0.1"]);
    assert_eq!(values(replica, "x-forwarded-host"), ["shop.example"]);
    assert_eq!(values(replica, "x-forwarded-proto"), ["http"]);
    let none = [
        "forwarded",
        "x-forwarded-prefix",
        "x-forwarded-user",
        "x_forwarded_for",
        "x_real_ip",
        "plimsoll-server",
    ];
    for header in none {
        assert_eq!(values(replica, header), Vec::<String>::new(), "{header}");
    }
    let id = values(replica, "x-request-id");
    assert!(id.len() == 1 && id[0] != "0123456789" && id[0].len() >= 32, "{id:?}");
}
