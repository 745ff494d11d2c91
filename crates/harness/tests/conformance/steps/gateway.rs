//! HTTPRoutes by JSON patches, and BackendTrafficPolicies.

use plimsoll::actuate::FoundPolicy;
use serde_json::{Value, json};

use super::objects::{object, service};
use crate::{
    play::Play,
    stage::api,
    writers::{
        add_finalizer, apply_policy, delete_policy, find_policy, is_stale, patch_route, remove_finalizer,
    },
};

/// Before the kinds are served.
pub async fn unserved(play: &mut Play) {
    play.apply("scalableservices", object("scalableservices", "gate")).await;
    play.observe("gate", "scalableservices", "gate").await;
    let (client, service) = (play.client.clone(), service(play, "gate").await);
    let found = find_policy(&client, &service).await;
    play.record("find a policy that is not served", &shown(play, found));
    let applied = apply_policy(&client, &service, &spec(1)).await;
    play.record_result("apply a policy that is not served", applied);
    let listed = api(&client, "httproutes").list(&Default::default()).await;
    play.record_result("list routes that are not served", listed);
    let patched = patch_route(&client, "gate", json!([])).await;
    play.record_result("patch a route that is not served", patched);
}

pub async fn served(play: &mut Play) {
    routes(play).await;
    policies(play).await;
    finalizer(play).await;
}

/// The finalizer of a service, which blocks a deletion until it is removed.
async fn finalizer(play: &mut Play) {
    let client = play.client.clone();
    let before = service(play, "gate").await.metadata;
    let removed = remove_finalizer(&client, &before).await;
    play.record_result("remove a missing finalizer", removed);
    let added = add_finalizer(&client, &before).await;
    play.record_result("add the finalizer", added);
    play.observe("with a finalizer", "scalableservices", "gate").await;
    let error = add_finalizer(&client, &before).await.expect_err("it has changed since");
    play.record("add it to a changed object", &json!({"error": play.error(&error)}));
    play.record("add it to a changed object: stale", &json!(is_stale(error)));
    play.stage().delete("scalableservices", "gate").await;
    play.observe("deleted with a finalizer", "scalableservices", "gate").await;
    let ending = service(play, "gate").await.metadata;
    let removed = remove_finalizer(&client, &ending).await;
    play.record_result("remove the finalizer", removed);
    let deleted = add_finalizer(&client, &ending).await;
    play.record_result("add a finalizer to a deleted object", deleted);
}

fn weights(first: i64, second: i64) -> Value {
    let backend = |index: usize| format!("/spec/rules/0/backendRefs/{index}");
    json!([
        {"op": "test", "path": format!("{}/name", backend(0)), "value": "gate"},
        {"op": "add", "path": format!("{}/weight", backend(0)), "value": first},
        {"op": "test", "path": format!("{}/name", backend(1)), "value": "standby"},
        {"op": "add", "path": format!("{}/weight", backend(1)), "value": second},
    ])
}

async fn routes(play: &mut Play) {
    let client = play.client.clone();
    play.apply("httproutes", object("httproutes", "gate")).await;
    for step in ["patch a route", "patch it again"] {
        let patched = patch_route(&client, "gate", weights(40, 60)).await;
        play.record_object(step, "httproutes", patched);
    }
    let mut wrong = weights(10, 90);
    wrong[2]["value"] = json!("another");
    refused(play, "a test fails", wrong).await;
    let mut wrong = weights(10, 90);
    wrong[2]["path"] = json!("/spec/rules/7/backendRefs/1/name");
    refused(play, "a test of a missing path", wrong).await;
    refused(
        play,
        "a value at a missing path",
        json!([
            {"op": "add", "path": "/spec/rules/7/backendRefs/1/weight", "value": 1},
        ]),
    )
    .await;
    let version = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]);
    refused(play, "a test of the resourceVersion", version).await;
    let missing = patch_route(&client, "missing", weights(1, 2)).await;
    play.record_result("patch a missing route", missing);
    play.observe("patched", "httproutes", "gate").await;
    play.stage().delete("httproutes", "gate").await;
}

async fn refused(play: &mut Play, step: &str, patch: Value) {
    let patched = patch_route(&play.client, "gate", patch).await;
    let error = patched.expect_err("a refusal");
    play.record(step, &json!({"error": play.error(&error)}));
    play.record(&format!("{step}: stale"), &json!(is_stale(error)));
}

fn spec(retries: i64) -> Value {
    json!({
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "gate"}],
        "loadBalancer": {"type": "RoundRobin"},
        "retry": {"numRetries": retries, "retryOn": {"triggers": ["connect-failure"]}},
    })
}

async fn policies(play: &mut Play) {
    let (client, service) = (play.client.clone(), service(play, "gate").await);
    let found = find_policy(&client, &service).await;
    play.record("find a missing policy", &shown(play, found));
    play.sets("backendtrafficpolicies", "gate", &json!({"spec": spec(1)}));
    let mut without_retry = spec(1);
    without_retry.as_object_mut().unwrap().remove("retry");
    for (step, spec) in [
        ("apply a policy", spec(1)),
        ("apply the same policy", spec(1)),
        ("apply other retries", spec(2)),
        ("apply without retries", without_retry),
    ] {
        let applied = apply_policy(&client, &service, &spec).await;
        play.record_object(step, "backendtrafficpolicies", applied);
    }
    let edit = json!({"spec": {"loadBalancer": {"type": "Edited"}, "retry": {"numRetries": 9}}});
    play.patch("backendtrafficpolicies", "gate", None, edit).await;
    play.observe("edited by a user", "backendtrafficpolicies", "gate").await;
    let applied = apply_policy(&client, &service, &spec(3)).await;
    play.record_object("apply over the edit", "backendtrafficpolicies", applied);

    let found = find_policy(&client, &service).await.unwrap();
    let FoundPolicy::Own(mut policy) = found else { panic!("the policy of the service does not exist") };
    play.record("find it", &json!("own"));
    let uid = policy.metadata.uid.clone();
    policy.metadata.uid = Some("11111111-1111-4111-8111-111111111111".to_owned());
    play.record_result("delete with another UID", delete_policy(&client, &service, &policy).await);
    play.observe("not deleted", "backendtrafficpolicies", "gate").await;
    policy.metadata.uid = uid;
    for step in ["delete it", "delete it again"] {
        play.record_result(step, delete_policy(&client, &service, &policy).await);
        play.observe(step, "backendtrafficpolicies", "gate").await;
    }
    play.apply("backendtrafficpolicies", json!({"metadata": {"name": "gate"}, "spec": spec(1)})).await;
    let found = find_policy(&client, &service).await;
    play.record("find a policy of another owner", &shown(play, found));
    play.stage().delete("backendtrafficpolicies", "gate").await;
}

fn shown(play: &Play, found: Result<FoundPolicy, kube::Error>) -> Value {
    match found {
        Ok(FoundPolicy::None) => json!("none"),
        Ok(FoundPolicy::Own(_)) => json!("own"),
        Ok(FoundPolicy::Foreign) => json!("foreign"),
        Err(error) => play.error(&error),
    }
}
