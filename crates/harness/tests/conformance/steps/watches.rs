//! Watches: raw ones, and kube_runtime's `watcher` of every kind that the controller watches.

use std::{pin::pin, time::Duration};

use futures::{Stream, StreamExt as _};
use kube::{
    ResourceExt as _,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
    runtime::watcher::{self, watcher},
};
use serde_json::{Value, json};

use super::objects::object;
use crate::{play::Play, stage::api};

const FOLLOWED: [&str; 9] = [
    "pods",
    "deployments",
    "statefulsets",
    "replicasets",
    "horizontalpodautoscalers",
    "scalableservices",
    "nodes",
    "httproutes",
    "scaledobjects",
];

pub async fn all(play: &mut Play) {
    raw(play).await;
    for plural in FOLLOWED {
        follow(play, plural).await;
    }
    ended(play).await;
    expired(play).await;
}

/// The next event; its absence fails the test.
async fn next<T>(events: &mut (impl Stream<Item = T> + Unpin)) -> T {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    next.expect("an event in time").expect("an open watch")
}

async fn raw(play: &mut Play) {
    let api = api(&play.client, "deployments");
    let version = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let name = "watched";
    play.apply("deployments", object("deployments", name)).await;
    let events = api.watch(&WatchParams::default(), &version).await.unwrap();
    let mut events = pin!(events);
    // These two writes change nothing.
    play.apply("deployments", object("deployments", name)).await;
    play.patch("deployments", name, None, json!({"metadata": {"labels": {"app": name}}})).await;
    play.patch("deployments", name, None, json!({"metadata": {"labels": {"more": "one"}}})).await;
    play.patch("deployments", name, Some("status"), json!({"status": {"replicas": 1}})).await;
    play.patch("deployments", name, Some("status"), json!({"status": {"replicas": 1}})).await;
    play.stage().delete("deployments", name).await;
    let mut last = String::new();
    for count in 1..=4 {
        let event = next(&mut events).await.unwrap();
        let (type_, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            other => panic!("{other:?}"),
        };
        let version = object.resource_version().unwrap();
        let newer = number(&version) > number(&last);
        last = version;
        let normal = play.normal("deployments", &serde_json::to_value(&object).unwrap());
        play.record(
            &format!("watch: event {count}"),
            &json!({"type": type_, "newer": newer, "types": object.types, "object": normal}),
        );
    }
}

fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

async fn follow(play: &mut Play, plural: &str) {
    let api = api(&play.client, plural);
    play.apply(plural, object(plural, "first")).await;
    let mut events = Box::pin(watcher(api, watcher::Config::default()));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(event(next(&mut events).await));
    }
    play.apply(plural, object(plural, "second")).await;
    play.apply(plural, object(plural, "second")).await;
    play.patch(plural, "second", None, json!({"metadata": {"labels": {"more": "one"}}})).await;
    play.stage().delete(plural, "second").await;
    while seen.last().is_none_or(|event| event["event"] != "Delete") {
        seen.push(event(next(&mut events).await));
    }
    drop(events);
    play.record(&format!("watcher: {plural}"), &json!(seen));
    play.observe("watched", plural, "first").await;
    play.stage().delete(plural, "first").await;
    play.observe("watched and deleted", plural, "first").await;
}

fn event(event: Result<watcher::Event<DynamicObject>, watcher::Error>) -> Value {
    use watcher::Event;
    let (type_, object) = match event.unwrap() {
        Event::Init => ("Init", None),
        Event::InitApply(object) => ("InitApply", Some(object)),
        Event::InitDone => ("InitDone", None),
        Event::Apply(object) => ("Apply", Some(object)),
        Event::Delete(object) => ("Delete", Some(object)),
    };
    let labels = object.as_ref().map(|object| object.labels().clone());
    json!({"event": type_, "name": object.map(|object| object.name_any()), "labels": labels})
}

/// A watch ends after the timeout that its client set; a bookmark may come before.
async fn ended(play: &mut Play) {
    let api = api(&play.client, "deployments");
    let version = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let events = api.watch(&WatchParams::default().timeout(1), &version).await.unwrap();
    let bookmark =
        |event: &Result<WatchEvent<DynamicObject>, _>| matches!(event, Ok(WatchEvent::Bookmark(_)));
    let seen: Vec<_> = events.filter(|event| std::future::ready(!bookmark(event))).collect().await;
    play.record("watch: over in time", &json!(seen.is_empty()));
}

/// A watch from a compacted version. On the real server these exist for a custom resource, whose changes are kept only from
/// the time at which it is served; for built-in kinds all changes since the server's start are kept.
async fn expired(play: &mut Play) {
    play.stage().compact();
    for plural in ["httproutes", "scalableservices"] {
        let api = api(&play.client, plural);
        let events = api.watch(&WatchParams::default(), "1").await;
        let mut answer = match events {
            Ok(events) => match next(&mut pin!(events)).await {
                Ok(WatchEvent::Error(status)) => play.error(&kube::Error::Api(status)),
                other => json!(format!("{other:?}")),
            },
            Err(error) => play.error(&error),
        };
        // The versions in the message differ between the servers.
        if let Some(message) = answer["message"].as_str() {
            answer["message"] = json!(message.replace(|char: char| char.is_ascii_digit(), ""));
        }
        play.record(&format!("watch: {plural} from a version that is too old"), &answer);
    }
}
