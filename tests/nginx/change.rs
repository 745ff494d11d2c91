//! Replicas are added and removed under load, by reloads: no request is lost on fresh or on kept connections.

use std::time::Duration;

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    proxy::{MOMENT, Proxy, wanted},
    support::{Load, Reached as _, Replica, all_served, eventually, wait},
};

const DELAY: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_under_load_lose_no_request_on_fresh_or_kept_connections() {
    let replicas = Replica::several(20, DELAY).await;
    let empty = wanted(&json!({"retries": {"attempts": 0}}));
    let few = empty.with(replicas[..3].iter().map(|replica| replica.server(Ready)));
    let many = empty.with(replicas.iter().map(|replica| replica.server(Ready)));
    let proxy = Proxy::start(&few).await;
    let master = proxy.driver.epoch().await.unwrap();
    let loads = [true, false].map(|keep_alive| Load::start(few.front(), 8, keep_alive, "/"));
    let mut reloads = 0;
    for _ in 0..5 {
        let outcome = proxy.sync(&many).await;
        assert_eq!(outcome.look.serving.len(), 20);
        reloads += u32::from(outcome.reloaded);
        all_served(&replicas).await;
        sleep(MOMENT).await;
        let draining = replicas.iter().enumerate();
        let draining = empty
            .with(draining.map(|(number, replica)| replica.server(if number < 3 { Ready } else { Drain })));
        reloads += u32::from(proxy.sync(&draining).await.reloaded);
        let victims: Vec<String> = replicas[3..].iter().map(|replica| replica.name.clone()).collect();
        eventually("all are drained", || async {
            let drained = proxy.driver.drained(&draining, &victims).await.unwrap();
            (drained.len() == victims.len()).then_some(())
        })
        .await;
        let served: usize = replicas[3..].iter().map(Replica::served).sum();
        assert_eq!(replicas[3..].iter().map(Replica::working).sum::<usize>(), 0);
        // A drained replica is in no configuration any more, so its deletion needs no reload.
        assert!(!proxy.sync(&few).await.reloaded);
        sleep(MOMENT).await;
        let after: usize = replicas[3..].iter().map(Replica::served).sum();
        assert_eq!(after, served, "a drained replica gets no more requests");
    }
    assert_eq!(reloads, 10);
    for (kept, load) in [true, false].into_iter().zip(loads) {
        let account = load.finish().await;
        println!("kept connections {kept}: {} requests, {} lost", account.sent, account.lost());
        assert!(account.sent > 500, "{}", account.sent);
        assert_eq!(account.lost(), 0, "of {}, {account:?}\n{}", account.sent, proxy.log());
    }
    assert_eq!(proxy.driver.epoch().await.unwrap(), master);
}

/// Control: without a loss here the test above proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_restart_of_nginx_loses_requests() {
    let replicas = Replica::several(3, DELAY).await;
    let wanted = wanted(&json!({})).with(replicas.iter().map(|replica| replica.server(Ready)));
    let mut proxy = Proxy::start(&wanted).await;
    let load = Load::start(wanted.front(), 8, false, "/100ms");
    eventually("it is busy", || async { (replicas[2].working() > 0).then_some(()) }).await;
    proxy.restart().await;
    wait(300).await;
    let account = load.finish().await;
    println!("restarted: {} of {} lost", account.lost(), account.sent);
    assert!(account.lost() > 0, "it was restarted while it was busy");
}

/// Control: a plain reload loses requests on kept connections, which the announcement prevents.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_reload_without_announcement_loses_requests_on_kept_connections() {
    let replicas = Replica::several(3, DELAY).await;
    let wanted = wanted(&json!({})).with(replicas.iter().map(|replica| replica.server(Ready)));
    let proxy = Proxy::start(&wanted).await;
    // Each connection of each reload is lost or not at random: there are 640 of them.
    let load = Load::start(wanted.front(), 64, true, "/");
    for _ in 0..10 {
        wait(200).await;
        proxy.signal("-HUP");
    }
    wait(300).await;
    let account = load.finish().await;
    println!("not announced: {} of {} lost", account.lost(), account.sent);
    assert!(account.lost() > 0);
}

/// Control: a replica that is stopped without a drain.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_replica_that_is_not_drained_loses_requests() {
    let replicas = Replica::several(3, DELAY).await;
    let wanted = wanted(&json!({"retries": {"attempts": 0}}))
        .with(replicas.iter().map(|replica| replica.server(Ready)));
    let _proxy = Proxy::start(&wanted).await;
    let load = Load::start(wanted.front(), 8, true, "/100ms");
    eventually("it is busy", || async { (replicas[2].working() > 0).then_some(()) }).await;
    replicas[2].die();
    wait(300).await;
    assert!(load.finish().await.lost() > 0, "a replica died while it was busy");
}
