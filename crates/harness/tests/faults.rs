//! The effects of the in-memory API server's faults on kube's own client and watches.

// A panic fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use futures::StreamExt as _;
use jiff::SignedDuration;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::ServiceAccount};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use plimsoll_harness::{
    apiserver::{ApiServer, Effect, Scope},
    world::World,
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

const NAMESPACE: &str = "shop";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn lease(name: &str) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Lease { metadata, spec: None }
}

/// Creates a Deployment for the watches to receive.
fn deploy(world: &World, name: &str) {
    world.objects.apply(&format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, namespace: {NAMESPACE}}}, spec: {{replicas: 0, \
         selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: app, image: app}}]}}}}}}}}"
    ));
}

/// The events of a watch of Deployments: `+NAME` for an object, `init` for the start of a list.
fn watch(client: &Client) -> mpsc::UnboundedReceiver<String> {
    let api: Api<Deployment> = Api::all(client.clone());
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let events = watcher(api, watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let word = match event {
                Ok(watcher::Event::Init) => "init".to_owned(),
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    format!("+{}", object.name_any())
                }
                _ => continue,
            };
            if sender.send(word).is_err() {
                return;
            }
        }
    });
    received
}

/// Waits until a watch has received `word`. Returns the elapsed time.
async fn receives(received: &mut mpsc::UnboundedReceiver<String>, word: &str) -> Duration {
    let begin = Instant::now();
    let waiting = async {
        while let Some(next) = received.recv().await {
            if next == word {
                return;
            }
        }
        panic!("the watch ended");
    };
    timeout(seconds(900), waiting).await.unwrap_or_else(|_| panic!("the watch does not receive {word}"));
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn delayed_request_arrives_after_its_sender_gave_up() {
    let world = World::default();
    let client = world.server.client("a");
    let _late = world.server.fault(Scope::all().verb("create"), Effect::Latency(seconds(3)));
    let (api, object) = (leases(&client), lease("late"));
    let parameters = PostParams::default();
    let create = api.create(&parameters, &object);
    assert!(timeout(seconds(1), create).await.is_err());
    assert!(world.objects.get("leases", NAMESPACE, "late").is_none());
    sleep(seconds(3)).await;
    assert!(world.objects.get("leases", NAMESPACE, "late").is_some());
}

#[tokio::test(start_paused = true)]
async fn write_with_a_lost_response_takes_effect() {
    let world = World::default();
    let client = world.server.client("a");
    let lost = world.server.fault(Scope::all().verb("create"), Effect::LostAnswer);
    assert!(timeout(seconds(60), leases(&client).create(&PostParams::default(), &lease("a"))).await.is_err());
    assert!(world.objects.get("leases", NAMESPACE, "a").is_some());
    lost.end();
    let again = leases(&client).create(&PostParams::default(), &lease("a")).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.is_already_exists()));
}

#[tokio::test(start_paused = true)]
async fn kube_client_retries_429_and_503_with_retry_after_but_not_500() {
    for (code, retry_after, retries) in [(429, Some(7), true), (503, None, true), (500, None, false)] {
        let world = World::default();
        let refused = world.server.fault(Scope::all().client("a"), Effect::Status { code, retry_after });
        let asking = tokio::spawn({
            let client = world.server.client("a");
            async move {
                let begin = Instant::now();
                (leases(&client).get_opt("none").await, begin.elapsed())
            }
        });
        sleep(Duration::from_millis(1)).await;
        refused.end();
        let (answer, took) = asking.await.unwrap();
        match answer {
            Ok(found) => assert!(retries && found.is_none()),
            Err(kube::Error::Api(status)) => assert!(!retries && status.code == code),
            Err(other) => panic!("{other}"),
        }
        let least = retry_after.map_or(Duration::ZERO, |after| seconds(after.into()));
        assert!(took >= least, "{code} was retried after {took:?}");
        let once = world.server.fault(Scope::all().client("b"), Effect::Status { code, retry_after });
        let answer = leases(&world.server.client_without_retries("b")).get_opt("none").await;
        assert!(matches!(answer, Err(kube::Error::Api(status)) if status.code == code));
        once.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_resumes_at_its_resource_version() {
    let world = World::default();
    let mut received = watch(&world.server.client("a"));
    deploy(&world, "before");
    receives(&mut received, "+before").await;
    world.server.drop_watches(&Scope::all().resource("deployments"));
    deploy(&world, "after");
    assert!(receives(&mut received, "+after").await < seconds(5));
    sleep(seconds(60)).await;
    while let Ok(word) = received.try_recv() {
        assert_ne!(word, "init", "the watch listed again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_watch_receives_nothing_until_its_idle_timeout() {
    let world = World::default();
    let mut received = watch(&world.server.client("a"));
    deploy(&world, "before");
    receives(&mut received, "+before").await;
    world.server.half_open_watches(&Scope::all().client("a"));
    deploy(&world, "after");
    // kube's watcher asks for a timeout of 290 s and waits for it with a margin.
    let took = receives(&mut received, "+after").await;
    assert!(took > seconds(280) && took < seconds(330), "received after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn compacted_watch_gets_410_and_lists_again() {
    let world = World::default();
    let mut received = watch(&world.server.client("a"));
    deploy(&world, "before");
    receives(&mut received, "+before").await;
    let cut = world.server.outage();
    deploy(&world, "meanwhile");
    world.server.compact();
    cut.end();
    receives(&mut received, "init").await;
    receives(&mut received, "+meanwhile").await;
}

#[tokio::test(start_paused = true)]
async fn stale_cache_delays_lists_and_watches() {
    let world = World::default();
    let client = world.server.client("a");
    let _behind = world.server.fault(Scope::all().client("a"), Effect::Stale(seconds(8)));
    sleep(seconds(10)).await;
    let mut received = watch(&client);
    sleep(seconds(1)).await;
    deploy(&world, "new");
    let fresh: Api<Deployment> = Api::all(world.server.client("b"));
    let stale: Api<Deployment> = Api::all(client);
    let count =
        |api: Api<Deployment>| async move { api.list(&Default::default()).await.unwrap().items.len() };
    assert_eq!((count(fresh).await, count(stale).await), (1, 0));
    let took = receives(&mut received, "+new").await;
    assert!(took > seconds(7) && took < seconds(9), "received after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn partition_affects_only_one_client() {
    let world = World::default();
    let (cut_off, other) = (world.server.client("a"), world.server.client("b"));
    let mut watched = watch(&cut_off);
    sleep(seconds(1)).await;
    let partition = world.server.partition("a");
    deploy(&world, "meanwhile");
    let lost = tokio::spawn({
        let client = cut_off.clone();
        async move { leases(&client).get_opt("none").await }
    });
    assert!(timeout(seconds(600), leases(&cut_off).get_opt("none")).await.is_err());
    assert!(leases(&other).get_opt("none").await.is_ok());
    let before = watched.try_recv();
    assert!(!matches!(&before, Ok(word) if word.starts_with('+')), "{before:?}");
    partition.end();
    assert!(lost.await.unwrap().is_err(), "a lost request fails when the connection is reset");
    assert!(leases(&cut_off).get_opt("none").await.is_ok());
    assert!(receives(&mut watched, "+meanwhile").await < seconds(10));
}

#[tokio::test(start_paused = true)]
async fn call_without_a_conformance_test_is_refused() {
    let server = ApiServer::new(jiff::Timestamp::now);
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client("a"), NAMESPACE);
    let listed = accounts.list(&Default::default()).await;
    assert!(matches!(listed, Err(kube::Error::Api(status)) if status.code == 501));
}

#[tokio::test(start_paused = true)]
async fn wall_clock_can_be_set_back_without_changing_durations() {
    let world = World::default();
    let (before, begin) = (world.clock.now(), Instant::now());
    world.set_clock(SignedDuration::from_secs(-300));
    sleep(seconds(60)).await;
    assert_eq!(world.clock.now().duration_since(before), SignedDuration::from_secs(-240));
    assert_eq!(begin.elapsed(), seconds(60));
    world.objects.apply("{apiVersion: v1, kind: Node, metadata: {name: node-1}}");
    let created = world.objects.get("nodes", "", "node-1").unwrap()["metadata"]["creationTimestamp"].clone();
    assert_eq!(created, json!("2026-06-01T08:56:00Z"));
}
