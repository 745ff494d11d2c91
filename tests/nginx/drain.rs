//! A replica is reported as drained once no worker can send it requests.

use std::time::{Duration, Instant};

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::json;

use crate::{
    proxy::{Proxy, wanted},
    support::{Client, Reached as _, Replica, eventually, wait},
};

const DELAY: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_drained_when_the_last_old_worker_has_exited_also_for_a_restarted_agent() {
    let [a, b] = [Replica::start("a", DELAY).await, Replica::start("b", DELAY).await];
    let empty = wanted(&json!({"algorithm": "RoundRobin"}));
    let both = empty.with([a.server(Ready), b.server(Ready)]);
    let proxy = Proxy::start(&both).await;
    let front = both.front();
    // Longer than the pause between two reloads plus the announcement of one, also on a busy machine.
    let slow: Vec<_> =
        (0..4).map(|_| tokio::spawn(async move { Client::new(front).get("/9000ms", &[]).await })).collect();
    eventually("both are busy", || async { (a.working() > 0 && b.working() > 0).then_some(()) }).await;
    let draining = empty.with([a.server(Ready), b.server(Drain)]);
    let outcome = proxy.sync(&draining).await;
    assert_eq!(outcome.look.serving.iter().collect::<Vec<_>>(), ["a"]);
    let victims = ["b".to_owned()];
    assert!(b.working() > 0 && proxy.leaving().await > 0);
    assert_eq!(proxy.driver.drained(&draining, &victims).await.unwrap(), Vec::<String>::new());
    // A restarted agent does not know the configuration of old workers.
    let restarted = proxy.again();
    restarted.sync(&draining).await.unwrap();
    assert_eq!(restarted.drained(&draining, &victims).await.unwrap(), Vec::<String>::new());
    assert!(restarted.drained(&draining, &["a".to_owned()]).await.unwrap().is_empty(), "it serves");
    for driver in [&proxy.driver, &restarted] {
        eventually("it is drained", || async {
            (driver.drained(&draining, &victims).await.unwrap() == victims).then_some(())
        })
        .await;
        assert_eq!(b.working(), 0);
    }
    for answer in slow {
        assert_eq!(answer.await.unwrap().unwrap().status, 200, "the request in flight is finished");
    }
    // Cancelled: it serves again, and is no longer drained.
    proxy.sync(&both).await;
    assert!(proxy.driver.drained(&both, &victims).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_longer_than_the_drain_timeout_is_cut_at_the_timeout() {
    let a = Replica::start("a", DELAY).await;
    let empty = wanted(&json!({"drain": {"timeout": "3s"}}));
    let one = empty.with([a.server(Ready)]);
    let proxy = Proxy::start(&one).await;
    let front = one.front();
    let slow = tokio::spawn(async move { Client::new(front).get("/20000ms", &[]).await });
    eventually("it is busy", || async { (a.working() > 0).then_some(()) }).await;
    let none = empty.with([a.server(Drain)]);
    let begin = Instant::now();
    proxy.sync(&none).await;
    let synced = Instant::now();
    assert_eq!(Client::new(front).get("/", &[]).await.unwrap().status, 503, "no replica is left");
    eventually("it is drained", || async {
        (!proxy.driver.drained(&none, &["a".to_owned()]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    // The timeout begins with the reload, which is somewhere within the change.
    let (since_before, since_after) = (begin.elapsed(), synced.elapsed());
    assert!(since_before.as_millis() >= 2_500, "{since_before:?}");
    assert!(since_after.as_millis() < 5_000, "{since_after:?}");
    assert!(slow.await.unwrap().is_err(), "it must be cut");
    wait(10).await;
}
