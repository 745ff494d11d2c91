//! Retries, passive health checks, source hash and slow start.

use std::{sync::atomic::Ordering, time::Duration};

use plimsoll::balancer::ServerState::Ready;
use serde_json::json;

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_replica_may_have_begun_is_retried_only_if_idempotent_and_without_a_body() {
    let both = [Replica::start("a", Duration::ZERO).await, Replica::start("b", Duration::ZERO).await];
    let all = json!({"retries": {"attempts": 2, "retryOn": ["ConnectFailure", "EmptyResponse", "Http503"]}});
    let default = json!({});
    let once = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"];
    for (spec, again) in [(all, &once[..5]), (default, &[])] {
        let wanted = wanted(spec).with(both.each_ref().map(|replica| replica.server(Ready)));
        let _balancer = Balancer::start(&wanted).await;
        for (path, body, method) in ["/hangup", "/503"]
            .into_iter()
            .flat_map(|path| ["", "order=1"].map(|body| (path, body)))
            .flat_map(|(path, body)| once.map(|method| (path, body, method)))
        {
            // The answer to HEAD has no body, for which this client would wait.
            if method == "HEAD" {
                continue;
            }
            let before: usize = both.iter().map(Replica::served).sum();
            let answer = Client::new(wanted.front()).request(method, path, &[], body).await.unwrap();
            let seen = both.iter().map(Replica::served).sum::<usize>() - before;
            let may = body.is_empty() && again.contains(&method);
            assert_eq!(seen, if may { 3 } else { 1 }, "{method} {path} {body:?}");
            assert_eq!(answer.status, if path == "/503" { 503 } else { 502 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passive_checks_eject_a_replica_that_answers_errors() {
    let good = Replica::start("good", Duration::ZERO).await;
    let bad = Replica::start("bad", Duration::ZERO).await;
    bad.faulty.store(true, Ordering::SeqCst);
    for (checks, found) in [
        (json!({"interval": "1m", "passive": {"consecutiveErrors": 5}}), true),
        (json!({"interval": "1m"}), false),
    ] {
        let wanted = wanted(json!({"algorithm": "RoundRobin", "healthCheck": checks}))
            .with([good.server(Ready), bad.server(Ready)]);
        let balancer = Balancer::start(&wanted).await;
        let mut errors = 0;
        for _ in 0..40 {
            let answer = Client::new(wanted.front()).get("/", &[]).await.unwrap();
            errors += usize::from(answer.status == 500);
        }
        assert_eq!(errors, if found { 5 } else { 20 });
        assert_eq!(balancer.driver.servers().await.unwrap()["bad"].up, !found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_source_hash_a_client_stays_on_its_replica() {
    let mut replicas = Vec::new();
    for number in 0..6 {
        replicas.push(Replica::start(&format!("checkout-{number}"), Duration::ZERO).await);
    }
    let empty = wanted(json!({"algorithm": "SourceHash"}));
    let all = empty.with(replicas.iter().map(|replica| replica.server(Ready)));
    let balancer = Balancer::start(&all).await;
    let ask = || async { Client::new(empty.front()).get("/", &[]).await.unwrap().body };
    let its = ask().await;
    for _ in 0..20 {
        assert_eq!(ask().await, its);
    }
    let others = replicas.iter().filter(|replica| replica.name != its).take(3);
    let its_own = replicas.iter().find(|replica| replica.name == its).unwrap();
    let four = empty.with(others.chain([its_own]).map(|replica| replica.server(Ready)));
    balancer.sync(&four).await;
    assert_eq!(ask().await, its, "after two others were removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_gets_its_share_gradually_with_slow_start() {
    let old = Replica::start("old", Duration::ZERO).await;
    let new = Replica::start("new", Duration::ZERO).await;
    for (slow, little) in [("60s", true), ("0s", false)] {
        let empty = wanted(json!({"algorithm": "RoundRobin", "slowStart": slow}));
        let balancer = Balancer::start(&empty.with([old.server(Ready)])).await;
        balancer.sync(&empty.with([old.server(Ready), new.server(Ready)])).await;
        eventually("it gets requests", || async {
            let answer = Client::new(empty.front()).get("/", &[]).await.unwrap();
            (answer.body == "new").then_some(())
        })
        .await;
        let mut to_new = 0;
        for _ in 0..60 {
            to_new += usize::from(Client::new(empty.front()).get("/", &[]).await.unwrap().body == "new");
        }
        assert_eq!(to_new < 20, little, "{to_new} of 60 with slowStart {slow}");
    }
}
