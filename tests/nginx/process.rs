//! Configurations that are refused or not applied, and processes that die.

use std::{fs, net::TcpListener, num::NonZeroU32, time::Duration};

use plimsoll::balancer::{DriverError, Listen, Resources, ServerState::Ready, Wanted};
use plimsoll_api::Percent;
use serde_json::json;

use crate::{
    proxy::{Proxy, wanted},
    support::{
        Client, Load, Reached as _, Replica, eventually,
        slow::{self, IDLE, REQUEST},
    },
};

const DELAY: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_nginx_refuses_changes_nothing() {
    let a = Replica::start("a", DELAY).await;
    let good = wanted(&json!({})).with([a.server(Ready)]);
    let proxy = Proxy::start(&good).await;
    let file = fs::read_to_string(&proxy.paths.config).unwrap();
    let mut bad = good.clone();
    bad.listeners[0].certificate = Some("/nowhere/not-there.pem".into());
    let error = proxy.driver.sync(&bad).await.unwrap_err();
    assert!(
        matches!(&error, DriverError::Refused { words, .. } if words.contains("not-there.pem")),
        "{error}"
    );
    assert!(
        error.to_string().starts_with("NGINX refuses the configuration, the previous one stays: "),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&proxy.paths.config).unwrap(), file);
    assert!(!proxy.sync(&good).await.reloaded, "it was never reloaded");
    assert_eq!(Client::new(good.front()).get("/", &[]).await.unwrap().status, 200);
}

/// NGINX's check does not detect a port in use; its master does, and keeps the previous configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_not_applied_is_rolled_back() {
    let a = Replica::start("a", DELAY).await;
    let good = wanted(&json!({})).with([a.server(Ready)]);
    let proxy = Proxy::start(&good).await;
    let load = Load::start(good.front(), 4, false, "/");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bad = good.clone();
    bad.listeners.push(Listen { port: taken.local_addr().unwrap().port(), certificate: None });
    let error = proxy.driver.sync(&bad).await.unwrap_err();
    assert!(matches!(error, DriverError::Reload { .. }), "{error}");
    let text = fs::read_to_string(&proxy.paths.config).unwrap();
    assert!(!text.contains(&taken.local_addr().unwrap().to_string()), "the previous file is restored");
    assert!(!proxy.sync(&good).await.reloaded);
    let leaving = fs::read_dir(&proxy.folder).unwrap().flatten();
    let leaving = leaving.filter(|entry| entry.file_name().to_string_lossy().starts_with("leaving-"));
    assert_eq!(leaving.count(), 0, "kept connections are no longer closed");
    assert_eq!(load.finish().await.lost(), 0);
    drop(taken);
    assert!(proxy.sync(&bad).await.reloaded, "it is applied once the port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_nginx_has_the_changes_of_the_meantime() {
    let [a, b] = [Replica::start("a", DELAY).await, Replica::start("b", DELAY).await];
    let empty = wanted(&json!({}));
    let one = empty.with([a.server(Ready)]);
    let mut proxy = Proxy::start(&one).await;
    let before = proxy.driver.epoch().await.unwrap();
    proxy.signal("-TERM");
    eventually("NGINX is missing", || async { proxy.driver.epoch().await.err() }).await;
    let other = empty.with([b.server(Ready)]);
    assert!(proxy.driver.sync(&other).await.unwrap_err().is_down());
    // A reused process id must not be signalled.
    fs::write(&proxy.paths.pid, std::process::id().to_string()).unwrap();
    assert!(proxy.driver.sync(&other).await.unwrap_err().is_down());
    proxy.spawn();
    proxy.up(&other).await;
    assert_ne!(proxy.driver.epoch().await.unwrap(), before);
    assert!(!proxy.sync(&other).await.reloaded);
    assert_eq!(Client::new(other.front()).get("/", &[]).await.unwrap().body, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_without_changes_is_no_reload_and_changes_are_batched() {
    let a = Replica::start("a", DELAY).await;
    let mut wanted = wanted(&json!({})).with([a.server(Ready)]);
    let proxy = Proxy::start(&wanted).await;
    assert_eq!(proxy.driver.not_before().await, None, "the first change is immediate");
    wanted.generation = 2;
    assert!(!proxy.sync(&wanted).await.reloaded);
    assert!(fs::read_to_string(&proxy.paths.config).unwrap().contains("# generation 2, "));
    wanted.traffic.drain.timeout = Duration::from_secs(7).into();
    assert!(proxy.sync(&wanted).await.reloaded);
    let due = proxy.driver.not_before().await.unwrap() - tokio::time::Instant::now();
    assert!((1_500..=2_000).contains(&due.as_millis()), "{due:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_has_the_used_connections_and_requests() {
    let replica = Replica::start("a", Duration::from_secs(60)).await;
    let cpus = NonZeroU32::MIN;
    let resources = Resources { memory: 64 << 20, cpus, ..Resources::default() };
    let wanted = Wanted { resources, ..wanted(&json!({})).with([replica.server(Ready)]) };
    let proxy = Proxy::start(&wanted).await;
    let about = |percent: Option<Percent>, expected: u8| {
        percent.is_some_and(|found| u8::from(found).abs_diff(expected) <= 1)
    };
    // A client uses two of NGINX's 596 connections, its own and the one to the replica.
    let _idle = slow::connections(wanted.front(), 149, IDLE);
    eventually("half of the connections are in use", || async {
        let usage = proxy.driver.usage().await.unwrap();
        (about(usage.connections, 50) && usage.requests == Some(Percent::ZERO)).then_some(())
    })
    .await;
    let half = resources.capacity().connections as usize / 2;
    let _requests = slow::connections(wanted.front(), half, REQUEST);
    eventually("half of the requests are in use", || async {
        let usage = proxy.driver.usage().await.unwrap();
        (usage.connections > Percent::new(70) && about(usage.requests, 50)).then_some(())
    })
    .await;
}
