//! Scale from zero through the real gate.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use plimsoll_api::Arrival;
use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{Client, eventually},
};

const REQUESTS: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_zero_are_held_and_none_is_lost() {
    let mut fixture = Fixture::running(0, &json!({"limits": {"connectionsPerReplica": 100}})).await;
    let front = fixture.front;
    let asked = Instant::now();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| {
            tokio::spawn(async move {
                let answer = Client::new(front).get("/", &[]).await;
                (answer.map(|answer| answer.status), Instant::now())
            })
        })
        .collect();
    fixture.until("the wake-up call", |status| status.held > 0).await;
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    fixture.until("all are held", |status| status.held == i32::try_from(REQUESTS).unwrap()).await;
    let ready = Instant::now();
    let replica = fixture.replica(1, Duration::from_millis(2)).await;
    let mut first = Duration::MAX;
    let mut last = Duration::ZERO;
    for request in requests {
        let (status, at) = request.await.unwrap();
        assert_eq!(status.unwrap(), 200);
        first = first.min(at - ready);
        last = last.max(at - ready);
    }
    println!("first answer after {first:?}, last after {last:?}");
    assert!(first < Duration::from_millis(300), "{first:?}");
    assert_eq!(replica.served(), REQUESTS, "including the one that the gate held");
    let status = fixture.until("nothing is held", |status| status.held == 0).await;
    assert_eq!((status.programmed, status.in_sync), (1, true));
    // At zero again the next request is held like the first.
    fixture.remove(1);
    fixture.programmed(0).await;
    let request = tokio::spawn(async move { Client::new(front).get("/", &[]).await });
    fixture.until("a request waits", |status| status.held == 1).await;
    fixture.endpoint(1, true, false);
    assert_eq!(request.await.unwrap().unwrap().status, 200);
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_replica_serves_before_its_endpoint_slice_lists_it_as_ready() {
    let mut fixture = Fixture::running(0, &json!({})).await;
    let front = fixture.front;
    let ask = || tokio::spawn(async move { Client::new(front).get("/", &[]).await });
    let held = ask();
    fixture.until("it waits", |status| status.held == 1).await;
    let replica = fixture.replica(1, Duration::ZERO).await;
    fixture.remove(1);
    fixture.programmed(0).await;
    let held_too = ask();
    fixture.until("another waits", |status| status.held == 1).await;
    let now = Timestamp::now();
    let arrival = json!([{"pod": "checkout-1", "ip": "127.0.1.1", "since": now.to_string()}]);
    let arrived: Vec<Arrival> = serde_json::from_value(arrival).unwrap();
    fixture.update(|known| assert!(known.arrived.update(arrived, None, now)));
    assert_eq!(held_too.await.unwrap().unwrap().status, 200);
    fixture.endpoint(1, false, false);
    fixture.programmed(1).await;
    assert_eq!(ask().await.unwrap().unwrap().status, 200, "its slice lists it as not ready yet");
    fixture.endpoint(1, true, false);
    fixture.endpoint(1, false, false);
    fixture.programmed(0).await;
    assert_eq!((held.await.unwrap().unwrap().status, replica.served()), (200, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_through_the_gate_delays_a_drain_like_any_other() {
    let mut fixture = Fixture::running(0, &json!({})).await;
    let front = fixture.front;
    let slow = tokio::spawn(async move { Client::new(front).get("/1500ms", &[]).await });
    fixture.until("it waits", |status| status.held == 1).await;
    let a = fixture.replica(1, Duration::ZERO).await;
    eventually("it is being answered", || async { (a.working() == 1).then_some(()) }).await;
    let _b = fixture.replica(2, Duration::ZERO).await;
    fixture.programmed(2).await;
    fixture.drain(&["checkout-1"]);
    fixture.until("it is drained", |status| !status.drained.is_empty()).await;
    assert_eq!(a.working(), 0, "its request through the gate is finished");
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_request_is_not_counted_and_the_next_one_takes_its_place() {
    let mut fixture = Fixture::running(0, &json!({})).await;
    let front = fixture.front;
    let ask = || tokio::spawn(async move { Client::new(front).get("/", &[]).await });
    let at_the_gate = ask();
    fixture.until("it waits", |status| status.held == 1).await;
    let [in_the_queue, patient] = [ask(), ask()];
    fixture.until("all wait", |status| status.held == 3).await;
    in_the_queue.abort();
    fixture.until("the request in the queue is aborted", |status| status.held == 2).await;
    at_the_gate.abort();
    fixture.until("the request at the gate is aborted", |status| status.held == 1).await;
    let replica = fixture.replica(1, Duration::ZERO).await;
    assert_eq!(patient.await.unwrap().unwrap().status, 200);
    assert_eq!(replica.served(), 1, "aborted requests reach no replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_survives_a_reload() {
    let mut fixture = Fixture::running(0, &json!({})).await;
    let front = fixture.front;
    let request = tokio::spawn(async move { Client::new(front).get("/", &[]).await });
    fixture.until("it waits", |status| status.held == 1).await;
    fixture.set_spec(2, 0, &json!({"algorithm": "RoundRobin"}));
    let status = fixture.until("a new generation", |status| status.observed_generation == Some(2)).await;
    assert_eq!((status.held, fixture.metric("plimsoll_balancer_reloads_total")), (1, 1.0));
    let _replica = fixture.replica(1, Duration::ZERO).await;
    assert_eq!(request.await.unwrap().unwrap().body, "checkout-1");
    fixture.until("nothing is held", |status| status.held == 0).await;
}

/// A service with a minimum above zero has no gate: the tests above would fail like this without one.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_service_that_does_not_scale_to_zero_refuses_at_zero() {
    let fixture = Fixture::running(1, &json!({})).await;
    let answer =
        eventually("an answer", || async { Client::new(fixture.front).get("/", &[]).await.ok() }).await;
    assert_eq!(answer.status, 503);
}
