//! A replica on a lost node: connections are neither refused nor answered.

use std::{net::SocketAddr, time::Duration};

use plimsoll::balancer::{Server, ServerState::Ready};
use serde_json::{Value, json};
use tokio::{net::TcpSocket, time::Instant};

use crate::support::{Balancer, Load, Reached as _, Replica, unused_address, wait, wanted};

const DELAY: Duration = Duration::from_millis(2);

/// An address at which connections are neither accepted nor refused: its queue is full, and the kernel drops the rest.
struct BlackHole {
    address: SocketAddr,
    _held: (tokio::net::TcpListener, Vec<tokio::net::TcpStream>),
}

impl BlackHole {
    async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(unused_address()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut streams = Vec::new();
        let connect =
            || tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address));
        while let Ok(stream) = connect().await {
            streams.push(stream.unwrap());
            assert!(streams.len() < 16, "the queue has no end");
        }
        Self { address, _held: (listener, streams) }
    }
}

/// Results of the clients, and when the black hole was found down.
struct Seen {
    sent: usize,
    lost: usize,
    latencies: Vec<Duration>,
    found: Option<Duration>,
}

/// Sends requests to a replica and a black hole for ten seconds.
async fn play(more: Value) -> Seen {
    let (replica, hole) = (Replica::start("a", DELAY).await, BlackHole::open().await);
    let wanted = wanted(more);
    let alone = wanted.with([replica.server(Ready)]);
    let balancer = Balancer::start(&alone).await;
    let load = Load::start(wanted.front(), 8, false, "/");
    let begin = Instant::now();
    let gone = ("gone".to_owned(), Server { address: hole.address, state: Ready });
    balancer.sync(&wanted.with([replica.server(Ready), gone])).await;
    let mut found = None;
    while begin.elapsed() < Duration::from_secs(10) {
        let servers = balancer.driver.servers().await.unwrap();
        if found.is_none() && !servers["gone"].up {
            found = Some(begin.elapsed());
        }
        wait(50).await;
    }
    let account = load.finish().await;
    Seen { sent: account.sent, lost: account.lost(), latencies: account.latencies, found }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_replica_is_found_down_and_loses_no_request() {
    let seen = play(json!({"healthCheck": {}})).await;
    let found = seen.found.expect("it is never found down");
    let slowest = seen.latencies.iter().max().copied().unwrap();
    println!("down after {found:?}, slowest {slowest:?}, {} requests", seen.sent);
    assert_eq!(seen.lost, 0, "of {}", seen.sent);
    assert!(found < Duration::from_secs(6), "{found:?}");
    assert!(slowest < Duration::from_millis(2500), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_health_checks_an_unreachable_replica_keeps_delaying_requests() {
    let seen = play(json!({})).await;
    assert_eq!((seen.found, seen.lost), (None, 0));
    let late = seen.latencies.iter().filter(|took| **took > Duration::from_millis(900)).count();
    println!("{late} of {} waited for the black hole", seen.sent);
    assert!(late > 8, "{late} of {}", seen.sent);
}
