//! The scale subresource, and the changes that raise `metadata.generation`.

use kube::api::PostParams;
use plimsoll::{actuate::ScaleError, lease::WriteError};
use serde_json::{Value, json};

use super::objects::object;
use crate::{play::Play, stage::api, writers::write_scale};

pub async fn all(play: &mut Play) {
    for plural in ["deployments", "statefulsets", "replicasets", "scalableservices"] {
        play.apply(plural, object(plural, "scaled")).await;
        scale(play, plural).await;
        generation(play, plural).await;
        play.stage().delete(plural, "scaled").await;
    }
    for plural in ["deployments", "scalableservices"] {
        let missing = api(&play.client, plural).get_metadata_opt("missing").await;
        play.record_answer(&format!("metadata of a missing object of {plural}"), missing);
        play.apply(plural, object(plural, "there")).await;
        let there = api(&play.client, plural).get_metadata_opt("there").await;
        play.record_object(&format!("metadata of an object of {plural}"), plural, there);
        play.stage().delete(plural, "there").await;
    }
}

async fn scale(play: &mut Play, plural: &str) {
    let api = api(&play.client, plural);
    let step = |what: &str| format!("scale {plural}: {what}");
    let scale = api.get_scale("scaled").await;
    play.record(&step("get"), &shown(&scale));
    let written = write_scale(&play.client, &api, "scaled", 2, 5).await;
    play.record(&step("write 2 -> 5"), &outcome(play, written));
    play.observe(&step("written"), plural, "scaled").await;
    let written = write_scale(&play.client, &api, "scaled", 5, 5).await;
    play.record(&step("write 5 -> 5"), &outcome(play, written));
    play.observe(&step("written without a change"), plural, "scaled").await;
    let written = write_scale(&play.client, &api, "scaled", 2, 6).await;
    play.record(&step("write from an old number"), &outcome(play, written));
    let written = write_scale(&play.client, &api, "missing", 2, 6).await;
    play.record(&step("write of a missing object"), &outcome(play, written));

    let mut stale = scale.unwrap();
    stale.spec.get_or_insert_default().replicas = Some(7);
    let params = PostParams { field_manager: Some("plimsoll-replicas".into()), ..PostParams::default() };
    let replaced = api.replace_scale("scaled", &params, &stale).await;
    play.record_result(&step("replace of an old resourceVersion"), replaced);
    let mut current = api.get_scale("scaled").await.unwrap();
    current.spec.get_or_insert_default().replicas = Some(0);
    let replaced = api.replace_scale("scaled", &params, &current).await;
    play.record(&step("replace by 0"), &shown(&replaced));
    play.record(&step("get 0"), &shown(&api.get_scale("scaled").await));
    let path = if plural == "scalableservices" { "minReplicas" } else { "replicas" };
    play.patch(plural, "scaled", None, json!({"spec": {path: 4}})).await;
    play.observe(&step("patched by a user"), plural, "scaled").await;
    let written = write_scale(&play.client, &api, "scaled", 4, 8).await;
    play.record(&step("write 4 -> 8"), &outcome(play, written));
    play.observe(&step("written again"), plural, "scaled").await;
}

fn shown(scale: &Result<k8s_openapi::api::autoscaling::v1::Scale, kube::Error>) -> Value {
    let scale = serde_json::to_value(scale.as_ref().unwrap()).unwrap();
    let metadata: Vec<&String> = scale["metadata"].as_object().unwrap().keys().collect();
    json!({"spec": scale["spec"], "status": scale["status"], "metadata": metadata})
}

fn outcome(play: &Play, written: Result<(), ScaleError>) -> Value {
    match written {
        Ok(()) => json!("ok"),
        Err(ScaleError::Write(WriteError::Api(error))) => play.error(&error),
        Err(changed) => json!(changed.to_string()),
    }
}

async fn generation(play: &mut Play, plural: &str) {
    let status = json!({"status": {"replicas": 3}});
    play.patch(plural, "scaled", Some("status"), status).await;
    play.observe("generation after a change of status", plural, "scaled").await;
    play.record(
        &format!("scale {plural}: get with status"),
        &shown(&api(&play.client, plural).get_scale("scaled").await),
    );
    let labels = json!({"metadata": {"labels": {"more": "one"}, "annotations": {"note": "one"}}});
    play.patch(plural, "scaled", None, labels).await;
    play.observe("generation after a change of metadata", plural, "scaled").await;
    let both = json!({"metadata": {"annotations": {"note": null}}, "status": {"replicas": 9}});
    play.patch(plural, "scaled", None, both).await;
    play.observe("a status through the main endpoint, an annotation removed", plural, "scaled").await;
    let none = json!({"metadata": {"labels": {"more": null}}, "spec": {}});
    play.patch(plural, "scaled", None, none).await;
    play.observe("a label removed", plural, "scaled").await;
    // The user takes over the field from the manager that applied it.
    play.apply(plural, object(plural, "scaled")).await;
    play.observe("applied again", plural, "scaled").await;
}
