//! Replicas are added and removed under load: no request is lost, and there is no reload.

use std::{collections::BTreeSet, time::Duration};

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::json;

use crate::support::{Balancer, Client, Load, Reached as _, Replica, all_served, eventually, wait, wanted};

const DELAY: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread")]
async fn adding_and_removing_replicas_under_load_loses_no_request() {
    let replicas = Replica::several(30, DELAY).await;
    let empty = wanted(json!({"healthCheck": {"interval": "500ms"}}));
    let few = empty.with(replicas[..3].iter().map(|replica| replica.server(Ready)));
    let many = empty.with(replicas.iter().map(|replica| replica.server(Ready)));
    let balancer = Balancer::start(&few).await;
    let epoch = balancer.driver.epoch().await.unwrap();
    let loads = [true, false].map(|keep_alive| Load::start(few.front(), 8, keep_alive, "/"));
    for _ in 0..5 {
        let report = balancer.sync(&many).await;
        assert!(!report.reloaded);
        assert_eq!(report.programmed(&many), 30);
        all_served(&replicas).await;
        wait(100).await;
        let draining = empty.with(
            replicas
                .iter()
                .enumerate()
                .map(|(number, replica)| replica.server(if number < 3 { Ready } else { Drain })),
        );
        balancer.sync(&draining).await;
        let victims: Vec<String> = replicas[3..].iter().map(|replica| replica.name.clone()).collect();
        eventually("all are drained", || async {
            let drained = balancer.driver.drained(&draining, &victims).await.unwrap();
            (drained.len() == victims.len()).then_some(())
        })
        .await;
        assert_eq!(replicas[3..].iter().map(Replica::working).sum::<usize>(), 0);
        assert!(!balancer.sync(&few).await.reloaded);
        wait(100).await;
    }
    for load in loads {
        let account = load.finish().await;
        assert!(account.sent > 500, "{}", account.sent);
        assert_eq!(account.lost(), 0, "of {}", account.sent);
    }
    assert_eq!(balancer.driver.epoch().await.unwrap(), epoch, "no reload");
}

/// Control: without a loss here the test above proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_replica_that_is_not_drained_loses_requests() {
    let replicas = Replica::several(3, DELAY).await;
    let wanted = wanted(json!({})).with(replicas.iter().map(|replica| replica.server(Ready)));
    let _balancer = Balancer::start(&wanted).await;
    let load = Load::start(wanted.front(), 8, true, "/100ms");
    eventually("it is busy", || async { (replicas[2].working() > 0).then_some(()) }).await;
    replicas[2].die();
    wait(300).await;
    assert!(load.finish().await.lost() > 0, "a replica died while it was busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_follows_its_pod_to_another_address() {
    let replicas = Replica::several(2, DELAY).await;
    let empty = wanted(json!({"healthCheck": {"interval": "100ms", "rise": 10, "fall": 1}}));
    let (name, mut server) = replicas[0].server(Ready);
    let before = empty.with([(name.clone(), server)]);
    let balancer = Balancer::start(&before).await;
    replicas[0].die();
    eventually("the health check finds it down", || async {
        (balancer.driver.observe().await.unwrap().usable() == 0).then_some(())
    })
    .await;
    // The pod of a StatefulSet returns with its name and another address.
    server.address = replicas[1].address;
    let after = empty.with([(name, server)]);
    let report = balancer.sync(&after).await;
    assert_eq!(report.programmed(&after), 1, "results for the old address do not count");
    assert_eq!(Client::new(after.front()).get("/", &[]).await.unwrap().body, "checkout-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_connection_limit_needs_no_reload() {
    let replicas = Replica::several(2, DELAY).await;
    let mut wanted = wanted(json!({"limits": {"connectionsPerReplica": 9}}))
        .with(replicas.iter().map(|r| r.server(Ready)));
    wanted.balancers = 2;
    let balancer = Balancer::start(&wanted).await;
    let limits = |report: &plimsoll::balancer::haproxy::Report| -> BTreeSet<u32> {
        report.seen.servers.values().map(|server| server.maxconn).collect()
    };
    let report = balancer.sync(&wanted).await;
    assert_eq!(limits(&report), BTreeSet::from([5]), "half of 9, rounded up");
    wanted.balancers = 3;
    let report = balancer.sync(&wanted).await;
    assert_eq!((limits(&report), report.reloaded), (BTreeSet::from([3]), false));
    wanted.traffic.limits.connections_per_replica = None;
    let report = balancer.sync(&wanted).await;
    let any = if report.seen.version.starts_with("2.") { 0 } else { 100_000 };
    // HAProxy waits for bodies only if replicas have a limit.
    assert_eq!((limits(&report), report.reloaded), (BTreeSet::from([any]), true));
    assert_eq!(balancer.sync(&wanted).await.steps, [], "in sync: no step is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delete_of_a_server_is_retried() {
    let replicas = Replica::several(2, DELAY).await;
    let empty = wanted(json!({}));
    let both = empty.with(replicas.iter().map(|replica| replica.server(Ready)));
    let one = empty.with([replicas[0].server(Ready)]);
    let balancer = Balancer::start(&both).await;
    let front = both.front();
    // One after the other: two simultaneous requests may both find the same replica idle.
    let mut slow = Vec::new();
    for busy in 1..=2 {
        slow.push(tokio::spawn(async move { Client::new(front).get("/600ms", &[]).await }));
        let working = || replicas.iter().filter(|replica| replica.working() > 0).count();
        eventually("another is busy", || async { (working() == busy).then_some(()) }).await;
    }
    let report = balancer.sync(&one).await;
    assert!(report.seen.servers.contains_key("checkout-1"), "a request uses it");
    for answer in slow {
        assert_eq!(answer.await.unwrap().unwrap().status, 200, "its request is finished");
    }
    eventually("it is deleted", || async {
        let report = balancer.sync(&one).await;
        (!report.seen.servers.contains_key("checkout-1") && report.pending.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_batch_of_commands_is_completed_by_the_next() {
    let replicas = Replica::several(2, DELAY).await;
    let wanted = wanted(json!({"healthCheck": {}, "sessionPersistence": {"cookie": "SID"}}));
    let after = wanted.with(replicas.iter().map(|replica| replica.server(Ready)));
    let balancer = Balancer::start(&wanted).await;
    // As if the agent had died after its first command.
    let address = replicas[0].address;
    let answer = balancer
        .ask(&format!("add server checkout/checkout-0 {address} check inter 2000ms rise 2 fall 3"))
        .await;
    assert!(answer.contains("New server registered"), "{answer}");
    let report = balancer.sync(&after).await;
    assert_eq!((report.programmed(&after), report.reloaded), (2, false));
    assert!(report.seen.servers.values().all(|server| server.checked && server.cookie));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_changes_of_servers_are_reverted_or_reported() {
    let replicas = Replica::several(2, DELAY).await;
    let wanted = wanted(json!({})).with(replicas.iter().map(|replica| replica.server(Ready)));
    let balancer = Balancer::start(&wanted).await;
    balancer.ask("set server checkout/checkout-0 state maint").await;
    balancer.ask("add server checkout/Foreign_one 127.0.0.1:9").await;
    let report = balancer.sync(&wanted).await;
    assert_eq!(report.programmed(&wanted), 2);
    assert_eq!(report.seen.foreign, ["Foreign_one"]);
    assert_eq!(report.message.as_deref(), Some("1 servers are not Plimsoll's, such as Foreign_one"));
}
