//! Scale from zero: requests are held in HAProxy behind the first one at the gate.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use plimsoll::balancer::ServerState::Ready;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, unused_address, wait, wanted};

const REQUESTS: usize = 1000;

/// Sends `REQUESTS` at zero, then starts one replica; returns the time from there to the first answer.
async fn from_zero(algorithm: &str, limits: &Value) -> Duration {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let mut empty = wanted(json!({"algorithm": algorithm, "limits": limits}));
    empty.gate = Some(listener.local_addr().unwrap());
    let balancer = Balancer::start(&empty).await;
    let front = empty.front();
    assert_eq!(balancer.driver.held().await.unwrap(), 0);
    let request = |_| {
        tokio::spawn(async move {
            let answer = Client::new(front).get("/", &[]).await;
            (answer.map(|answer| answer.status), Instant::now())
        })
    };
    let requests: Vec<_> = (0..REQUESTS).map(request).collect();
    let (mut held, _) = listener.accept().await.unwrap();
    eventually("all are held", || async {
        (balancer.driver.held().await.unwrap() as usize == REQUESTS).then_some(())
    })
    .await;
    let another = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(another.is_err(), "the gate gets one request at a time");
    let replica = Replica::start("checkout-0", Duration::from_millis(2)).await;
    let ready = Instant::now();
    let report = balancer.sync(&empty.with([replica.server(Ready)])).await;
    assert!(!report.reloaded && report.seen.held() == 0);
    // The gate's own request is forwarded, and so are those that were queued for the gate.
    let to = replica.address;
    let passes = tokio::spawn(async move {
        loop {
            tokio::spawn(async move {
                let mut onward = TcpStream::connect(to).await.unwrap();
                copy_bidirectional(&mut held, &mut onward).await
            });
            (held, _) = listener.accept().await.unwrap();
        }
    });
    let mut first = Duration::MAX;
    for request in requests {
        let (status, at) = request.await.unwrap();
        assert_eq!(status.unwrap(), 200, "{algorithm}");
        first = first.min(at - ready);
    }
    assert_eq!(replica.served(), REQUESTS);
    // The gate's own request is extra, and a replica ends a request a moment after HAProxy has its answer. Without its
    // initial limit of 1, a new server would get twice as many.
    if let Some(limit) = empty.connections_per_server() {
        let (limit, most) = (limit as usize + 1, replica.most.load(Ordering::SeqCst));
        assert!(most < limit * 3 / 2, "{algorithm}: {most} requests at a time, where {limit} are allowed");
    }
    passes.abort();
    first
}

/// Less than HAProxy's pause between two attempts to connect (1 s).
const FIRST_WITHIN: Duration = Duration::from_millis(900);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_are_held_until_the_first_replica() {
    for algorithm in ["RoundRobin", "LeastConnections", "RandomOfTwo", "SourceHash"] {
        let first = from_zero(algorithm, &json!({"connectionsPerReplica": 100})).await;
        assert!(first < FIRST_WITHIN, "{algorithm}: {first:?}");
    }
    // Without a connection limit.
    let first = from_zero("LeastConnections", &json!({})).await;
    assert!(first < FIRST_WITHIN, "without a limit: {first:?}");
}

/// Control: without a gate no request is held, and the test above would fail like this.
#[tokio::test(flavor = "multi_thread")]
async fn control_without_a_gate_requests_at_zero_are_refused() {
    let empty = wanted(json!({}));
    let _balancer = Balancer::start(&empty).await;
    assert_eq!(Client::new(empty.front()).get("/", &[]).await.unwrap().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_held_no_longer_than_the_queue_timeout() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let mut empty = wanted(json!({"limits": {"queueTimeout": "1s"}}));
    empty.gate = Some(listener.local_addr().unwrap());
    let _balancer = Balancer::start(&empty).await;
    let front = empty.front();
    let first = tokio::spawn(async move { Client::new(front).get("/", &[]).await });
    let _held = listener.accept().await.unwrap();
    wait(50).await;
    let begin = Instant::now();
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap().status, 503);
    assert!((900..2_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    first.abort();
}
