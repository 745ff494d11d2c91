//! Events: creation, and the counting of repetitions.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use plimsoll::{actuate::Events, clock::Clock};
use serde_json::json;

use crate::{
    play::Play,
    stage::{NAMESPACE, api},
    writers::publish,
};

pub async fn all(play: &mut Play) {
    let about = ObjectReference {
        api_version: Some("plimsoll.dev/v1alpha1".to_owned()),
        kind: Some("ScalableService".to_owned()),
        name: Some("shop".to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..ObjectReference::default()
    };
    let events = Events::new(Client::clone(&play.client), "plimsoll-0".to_owned(), Clock::system());
    for step in ["an event", "the same note", "the same note again"] {
        publish(&play.client, &events, "2 -> 8", &about).await;
        list(play, step).await;
    }
    publish(&play.client, &events, "8 -> 9", &about).await;
    list(play, "another note").await;
    clear(play).await;
    publish(&play.client, &events, "8 -> 9", &about).await;
    list(play, "the same note, but the event was deleted").await;
    publish(&play.client, &events, "8 -> 9", &about).await;
    list(play, "and once more").await;
    clear(play).await;
    raw(play).await;
}

/// Selects the compared fields of an event: all but the times.
fn set(play: &mut Play, name: &str) {
    let fields = json!({
        "reason": null, "note": null, "type": null, "action": null, "series": {"count": null},
        "reportingController": null, "reportingInstance": null, "regarding": null,
    });
    play.sets("events", name, &fields);
}

/// Records the events, without their names, which include the time.
async fn list(play: &mut Play, step: &str) {
    let mut events = Vec::new();
    for object in play.stage().list("events").await {
        set(play, object["metadata"]["name"].as_str().unwrap());
        let mut event = play.normal("events", &object);
        event.as_object_mut().unwrap().remove("name");
        events.push(event);
    }
    play.record(&format!("events: {step}"), &json!(events));
}

async fn clear(play: &mut Play) {
    for event in play.stage().list("events").await {
        play.stage().delete("events", event["metadata"]["name"].as_str().unwrap()).await;
    }
}

async fn raw(play: &mut Play) {
    set(play, "event");
    let api = api(&play.client, "events");
    let event: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "event", "namespace": NAMESPACE},
        "action": "Scale", "reason": "ScaledUp", "note": "2 -> 8", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "ScalableService", "name": "shop", "namespace": NAMESPACE},
        "reportingController": "plimsoll.dev/controller", "reportingInstance": "plimsoll-0",
    }))
    .unwrap();
    for step in ["create an event", "create it again"] {
        let created = api.create(&PostParams::default(), &event).await;
        play.record_object(step, "events", created);
    }
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    let patched = api.patch(&event.name_any(), &PatchParams::default(), &Patch::Merge(&series)).await;
    play.record_object("count an event", "events", patched);
    let missing = api.patch("missing", &PatchParams::default(), &Patch::Merge(&series)).await;
    play.record_result("count a missing event", missing);
    clear(play).await;
}
