//! The order of queued requests; and users' texts are matched literally, whatever they contain.

use std::{sync::Arc, time::Duration};

use plimsoll::balancer::{ServerState::Ready, Wanted};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, wait, wanted};

/// The order in which requests with these headers leave the queue of a replica that serves one at a time.
async fn order(empty: &Wanted, requests: &[(&'static str, Option<String>)]) -> Vec<usize> {
    let replica = Replica::start("checkout-0", Duration::from_millis(5)).await;
    let wanted = empty.with([replica.server(Ready)]);
    let balancer = Balancer::start(&wanted).await;
    let front = wanted.front();
    let blocker = tokio::spawn(async move { Client::new(front).get("/800ms", &[]).await });
    eventually("the replica is busy", || async { (replica.working() == 1).then_some(()) }).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (number, (path, header)) in requests.iter().cloned().enumerate() {
        let seen = Arc::clone(&order);
        tasks.push(tokio::spawn(async move {
            let headers: Vec<&str> = header.iter().map(String::as_str).collect();
            let answer = Client::new(front).get(path, &headers).await.unwrap();
            seen.lock().await.push(number);
            assert_eq!(answer.status, 200, "{header:?}: {}", answer.head);
        }));
        // One after the other into the queue.
        wait(3).await;
    }
    let queued = balancer.driver.observe().await.unwrap().queued as usize;
    assert_eq!(queued, requests.len(), "all are queued");
    blocker.await.unwrap().unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().await;
    order.clone()
}

fn spec(priorities: &[Value]) -> Wanted {
    wanted(json!({"limits": {"connectionsPerReplica": 1}, "priorities": priorities}))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_critical_requests_leave_the_queue_first() {
    let empty = spec(&[
        json!({"match": {"pathPrefix": "/pay", "header": {"name": "X-Tier", "value": "gold"}}, "criticality": "CriticalPlus"}),
        json!({"match": {"pathPrefix": "/pay"}, "criticality": "SheddablePlus"}),
        json!({"match": {"header": {"name": "x-tier", "value": "bot"}}, "criticality": "Sheddable"}),
    ]);
    let tier = |value: &str| Some(format!("x-TIER: {value}"));
    let requests = [
        ("/", tier("bot")),
        ("/pay/1", None),
        ("/pay/2", tier("bot")),
        ("/", None),
        ("/", tier("gold")),
        ("/pay/3", tier("gold")),
    ];
    // The first match wins: /pay/2 is SheddablePlus although it is from a bot; gold counts only with /pay.
    assert_eq!(order(&empty, &requests).await, [5, 3, 4, 1, 2, 0]);
}

/// Header values with a meaning for HAProxy's parser, unless they are quoted correctly.
fn hostile() -> impl Strategy<Value = String> {
    let sharp = prop::sample::select(vec![
        "'", "\"", "\\", "#", " ", "{", "}", "%[path]", "$HOME", "${X}", "-f", "--", "-m", ",", ";", "||",
        "!", "or", "if", "unless", "\\'", "''", "<<", "%%", "(", ")", "*", "~", "`", "\\x41", "0", "a", "B",
    ]);
    let word = prop::collection::vec(sharp, 1..12).prop_map(|parts| parts.concat());
    let any = "[ -~]{1,60}";
    // A header value has no surrounding spaces.
    prop_oneof![word, any.prop_map(String::from)]
        .prop_map(|text| text.trim().to_owned())
        .prop_filter("empty", |text| !text.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn header_values_are_matched_literally() {
    let fixed = [
        "}",
        "{ always_true }",
        "-f /etc/passwd",
        "-i",
        "--",
        "it's \"x\"",
        "a\\",
        "\\",
        "'",
        "#",
        "a b",
        "%[src]",
    ];
    let mut runner = TestRunner::deterministic();
    let mut values: Vec<String> = fixed.map(String::from).into();
    while values.len() < 48 {
        let value = hostile().new_tree(&mut runner).unwrap().current();
        // All values differ, also from any value with one more character.
        if !values.iter().any(|other| other.starts_with(&value) || value.starts_with(other)) {
            values.push(value);
        }
    }
    for values in values.chunks(16) {
        let rule = |value: &String| json!({"match": {"header": {"name": "x-tier", "value": value}}, "criticality": "CriticalPlus"});
        let empty = spec(&values.iter().map(rule).collect::<Vec<_>>());
        // First the near misses, then the exact values.
        let nearly = values.iter().map(|value| ("/", Some(format!("x-tier: {value}."))));
        let quite = values.iter().map(|value| ("/", Some(format!("x-tier: {value}"))));
        let requests: Vec<_> = nearly.chain(quite).collect();
        let order = order(&empty, &requests).await;
        let first: Vec<usize> = order[..values.len()].to_vec();
        assert!(first.iter().all(|number| *number >= values.len()), "{first:?} of {values:#?}");
    }
}
