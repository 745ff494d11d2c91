//! Clients with a session cookie of a replica that is drained or ejected.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::{fixture::Fixture, support::Client};

/// Clients with a cookie of one replica that send requests without a pause until another replica answers; and one request to
/// `long`, so that the replica is never idle.
async fn sticky_and_busy(
    fixture: &Fixture,
    long: &'static str,
) -> (String, JoinHandle<u16>, Vec<JoinHandle<Instant>>) {
    let front = fixture.front;
    let bound = Client::new(front).get("/", &[]).await.unwrap();
    let line = bound.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("cookie: {}", line.split(';').next().unwrap());
    let client = |name: String, cookie: String| async move {
        let mut client = Client::new(front);
        loop {
            let answer = client.get("/", &[&cookie]).await.unwrap();
            assert_eq!(answer.status, 200);
            if answer.body != name {
                return Instant::now();
            }
        }
    };
    let slow = cookie.clone();
    let slow = tokio::spawn(async move { Client::new(front).get(long, &[&slow]).await.unwrap().status });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let clients = (0..6).map(|_| tokio::spawn(client(bound.body.clone(), cookie.clone()))).collect();
    (bound.body, slow, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn sticky_clients_leave_a_draining_replica_before_its_timeout_and_an_ejected_one_immediately() {
    for (ejected, soonest, latest, long) in [(false, 3.0, 6.0, "/5000ms"), (true, 0.0, 2.0, "/3000ms")] {
        let spec = json!({"sessionPersistence": {"cookie": "SID"}, "drain": {"timeout": "6s"}});
        let mut fixture = Fixture::running(1, &spec).await;
        let delay = Duration::from_millis(20);
        let _both = [fixture.replica(1, delay).await, fixture.replica(2, delay).await];
        fixture.programmed(2).await;
        let (name, slow, clients) = sticky_and_busy(&fixture, long).await;
        let begin = Instant::now();
        if ejected {
            fixture.eject(&[&name])
        } else {
            fixture.drain(&[&name])
        }
        fixture.until("it is drained", |status| status.drained == [name.clone()]).await;
        assert_eq!(slow.await.unwrap(), 200, "the request in flight is finished");
        for client in clients {
            let moved = (client.await.unwrap() - begin).as_secs_f64();
            assert!((soonest..latest).contains(&moved), "{moved} s, ejected: {ejected}");
        }
    }
}
