//! Plimsoll steers an HTTPRoute: a real API server with the Gateway API's own definitions, the stand-in with a real
//! HAProxy, and Plimsoll's controller in this process.
// Clippy knows the test functions, but not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "support/scene.rs"]
mod scene;

use std::time::Duration;

use plimsoll::{
    actuate,
    balancer::gateway::{Plan, Route, Share, plan},
};
use serde_json::{Value, json};

use scene::Scene;

fn weights(route: &Value, rule: usize) -> Vec<i64> {
    let backends = route.pointer(&format!("/spec/rules/{rule}/backendRefs")).and_then(Value::as_array);
    backends.into_iter().flatten().filter_map(|backend| backend.get("weight")?.as_i64()).collect()
}

/// What Plimsoll must not touch: the spec without the weights of the rule that it steers.
fn others(route: &Value) -> Value {
    let mut spec = route.get("spec").cloned().unwrap_or_default();
    for backend in
        spec.pointer_mut("/rules/1/backendRefs").and_then(Value::as_array_mut).into_iter().flatten()
    {
        backend.as_object_mut().and_then(|fields| fields.remove("weight"));
    }
    spec
}

#[tokio::test]
async fn plimsoll_itself() {
    scene::itself().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_follows_failover_and_no_lie_of_its_gateway_is_believed() {
    let mut scene = Scene::set().await;

    // A cluster without the Gateway API.
    scene.plimsoll(None).await;
    scene.wait_for("False RouteNotFound", Duration::from_secs(20)).await;
    assert!(scene.message().await.contains("does not serve HTTPRoute"), "{}", scene.message().await);

    // It comes while Plimsoll runs.
    scene.install_gateway_api();
    scene
        .wait_until("the definitions to be noticed", Duration::from_secs(60), |said| {
            said.contains("HTTPRoute shop does not exist")
        })
        .await;

    // The first programming: status says yes seconds before HAProxy knows the route.
    scene.lie("early").await;
    scene.stand_in();
    scene.route();
    let claimed = scene.accepted_at(1, Duration::from_secs(20)).await;
    let served = scene.wait_for_true(Duration::from_secs(30)).await;
    let late = served.duration_since(claimed);
    assert!(late >= Duration::from_secs(3), "believed {late:?} after the claim, and served only after 4 s");
    assert_eq!(scene.answers(20).await, ["web"; 20], "True, and yet it does not answer");
    scene.lie("").await;

    // A standby takes over: the weights of the one rule, and nothing else.
    let before = scene.get("httproute", "shop").await;
    assert_eq!(weights(&before, 1), [100, 0]);
    scene.plimsoll(Some(100)).await;
    scene
        .wait_until("0 and 100", Duration::from_secs(20), |said| {
            said.starts_with("True") && said.contains("web 0, web-b 100")
        })
        .await;
    let after = scene.get("httproute", "shop").await;
    assert_eq!(weights(&after, 1), [0, 100]);
    assert_eq!((weights(&after, 0), others(&after)), (vec![7, 3], others(&before)));
    assert_eq!(scene.answers(20).await, ["web-b"; 20]);

    // Requests follow weights in between.
    scene.plimsoll(Some(30)).await;
    scene
        .wait_until("70 and 30", Duration::from_secs(20), |said| {
            said.starts_with("True") && said.contains("web 70, web-b 30")
        })
        .await;
    let answers = scene.answers(400).await;
    let standby = answers.iter().filter(|answer| *answer == "web-b").count();
    assert!((80..=160).contains(&standby), "{standby} of 400 at the standby, which has 30 %");

    // Status speaks of an older generation for ever: right weights and right answers are not enough.
    scene.lie("stale").await;
    scene.plimsoll(Some(100)).await;
    scene
        .wait_until("the stale status to be seen", Duration::from_secs(20), |said| {
            said.starts_with("Unknown RouteProgressing") && said.contains("yet to take over")
        })
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(weights(&scene.get("httproute", "shop").await, 1), [0, 100]);
    assert!(scene.said().await.starts_with("Unknown RouteProgressing"), "{}", scene.said().await);
    scene.lie("").await;
    scene.wait_for_true(Duration::from_secs(20)).await;

    // Back to a primary without endpoints, which keeps its weight: its whole share is 503.
    scene.lie("empty-503").await;
    scene.endpoints("web", false).await;
    scene.plimsoll(Some(60)).await;
    scene.wait_for("False RouteNotServing", Duration::from_secs(30)).await;
    assert!(scene.message().await.contains("answers 503"), "{}", scene.message().await);

    // The standby takes all, and the Gateway says so before it does.
    scene.lie("early,empty-503").await;
    scene.plimsoll(Some(100)).await;
    let serves = scene.wait_for_true(Duration::from_secs(40)).await;
    assert_eq!(scene.answers(40).await, ["web-b"; 40], "True, and yet some are not answered");
    assert!(serves.elapsed() < Duration::from_secs(10));

    // What is wrong with the route is said, and nothing is changed.
    scene.lie("").await;
    let spec = json!([{"op": "remove", "path": "/spec/rules/1/backendRefs/1"}]).to_string();
    scene.kubectl(&["patch", "httproute", "shop", "--type=json", "--patch", &spec]);
    scene.wait_for("False RouteRefused", Duration::from_secs(20)).await;
    assert_eq!(weights(&scene.get("httproute", "shop").await, 1), [0]);

    a_concurrent_edit_is_never_lost(&scene).await;
}

/// Somebody edits between the look and the write: the write fails as a whole, and the next one keeps the edit.
async fn a_concurrent_edit_is_never_lost(scene: &Scene) {
    scene.stop().await;
    scene.route();
    let shares = |primary| {
        [("primary", "web", None, primary), ("standby", "web-b", Some(80), 100 - primary)].map(
            |(backend, service, port, weight)| Share {
                backend: backend.to_owned(),
                namespace: "default".to_owned(),
                service: service.to_owned(),
                port,
                weight,
            },
        )
    };
    let seen = scene.route_object().await;
    let Plan::Change(change) = plan(&Route::of(&seen).unwrap(), "main", &shares(40)) else {
        panic!("there is something to change")
    };
    // The rules swap places: an index alone would hit the wrong rule.
    let swap = json!([{"op": "move", "from": "/spec/rules/1", "path": "/spec/rules/0"}]).to_string();
    scene.kubectl(&["patch", "httproute", "shop", "--type=json", "--patch", &swap]);
    let edited = scene.get("httproute", "shop").await;
    let client = scene.client.clone();
    let error = actuate::patch_route(&client, "default", "shop", change.patch).await.unwrap_err();
    assert!(actuate::is_stale(&error), "{error:?}");
    assert_eq!(scene.get("httproute", "shop").await.get("spec"), edited.get("spec"));
    // On what there is now, it works, and hits the right rule.
    let seen = scene.route_object().await;
    let Plan::Change(change) = plan(&Route::of(&seen).unwrap(), "main", &shares(40)) else {
        panic!("there is something to change")
    };
    let object = actuate::patch_route(&client, "default", "shop", change.patch).await.unwrap();
    assert_eq!(plan(&Route::of(&object).unwrap(), "main", &shares(40)), Plan::InSync);
    let now = scene.get("httproute", "shop").await;
    assert_eq!((weights(&now, 0), weights(&now, 1)), (vec![40, 60], vec![7, 3]));
    // A weight that the schema refuses is no conflict.
    let wrong = json!([{"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": -1}]);
    let error = actuate::patch_route(&client, "default", "shop", wrong).await.unwrap_err();
    assert!(!actuate::is_stale(&error), "{error:?}");
}
