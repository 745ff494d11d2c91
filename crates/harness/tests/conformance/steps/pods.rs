//! Pods: deletion costs by metadata, and evictions.

use serde_json::json;

use super::objects::object;
use crate::{
    play::Play,
    stage::api,
    writers::{evict, mark, unmark},
};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The UID of no object.
const WRONG: &str = "11111111-1111-4111-8111-111111111111";

pub async fn all(play: &mut Play) {
    marks(play).await;
    evictions(play).await;
    budgets(play).await;
}

async fn marks(play: &mut Play) {
    let client = play.client.clone();
    play.apply("pods", object("pods", "plain")).await;
    let mut costly = object("pods", "costly");
    costly["metadata"]["annotations"] = json!({COST: "7"});
    play.apply("pods", costly).await;
    for pod in ["plain", "costly"] {
        let metadata = api(&client, "pods").get_metadata_opt(pod).await;
        play.record_object(&format!("metadata of {pod}"), "pods", metadata);
        for _ in 0..2 {
            play.record_answer(&format!("mark {pod}"), mark(&client, pod).await);
            play.observe("marked", "pods", pod).await;
        }
        for _ in 0..2 {
            play.record_answer(&format!("unmark {pod}"), unmark(&client, pod).await);
            play.observe("unmarked", "pods", pod).await;
        }
    }
    play.record_answer("mark missing", mark(&client, "missing").await);
    play.record_answer("unmark missing", unmark(&client, "missing").await);
    let missing = api(&client, "pods").get_metadata("missing").await;
    play.record_result("metadata of missing", missing);
    mark(&client, "plain").await.unwrap();
    play.patch("pods", "plain", None, json!({"metadata": {"annotations": {COST: "3"}}})).await;
    play.observe("marked, then patched by a user", "pods", "plain").await;
    unmark(&client, "plain").await.unwrap();
    play.observe("unmarked, the user's value stays", "pods", "plain").await;
    let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": {COST: null}}}));
    let missing = api(&client, "pods").patch_metadata("missing", &Default::default(), &patch).await;
    play.record_result("patch metadata of missing", missing);
    for pod in ["plain", "costly"] {
        play.stage().delete("pods", pod).await;
    }
}

async fn evictions(play: &mut Play) {
    let client = play.client.clone();
    play.record_answer("evict missing", evict(&client, "missing", Some("none")).await);
    play.apply("pods", object("pods", "pending")).await;
    play.observe("to be evicted", "pods", "pending").await;
    play.record_answer("evict another uid", evict(&client, "pending", Some(WRONG)).await);
    play.observe("not evicted", "pods", "pending").await;
    let uid =
        play.stage().get("pods", "pending").await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    play.record_answer("evict this uid", evict(&client, "pending", Some(&uid)).await);
    play.apply("pods", object("pods", "pending")).await;
    play.record_answer("evict", evict(&client, "pending", None).await);
    play.observe("evicted", "pods", "pending").await;

    let mut placed = object("pods", "placed");
    placed["spec"]["nodeName"] = json!("nowhere");
    play.apply("pods", placed).await;
    play.observe("on a node", "pods", "placed").await;
    play.record_answer("evict from a node", evict(&client, "placed", None).await);
    play.observe("evicted from a node, pending", "pods", "placed").await;

    let mut running = object("pods", "running");
    running["spec"]["nodeName"] = json!("nowhere");
    play.apply("pods", running).await;
    play.patch("pods", "running", Some("status"), json!({"status": {"phase": "Running"}})).await;
    play.record_answer("evict a running pod", evict(&client, "running", None).await);
    play.observe("evicted from a node", "pods", "running").await;
    play.record_answer("evict it again", evict(&client, "running", None).await);
    play.observe("evicted again", "pods", "running").await;
}

async fn budgets(play: &mut Play) {
    let client = play.client.clone();
    for name in ["app-1", "app-2", "app-3", "app-4"] {
        let mut pod = object("pods", name);
        pod["metadata"]["labels"] = json!({"app": "app"});
        play.apply("pods", pod).await;
        if name != "app-4" {
            let ready = json!([{"type": "Ready", "status": "True"}]);
            let status = json!({"status": {"phase": "Running", "conditions": ready}});
            play.patch("pods", name, Some("status"), status).await;
        }
    }
    play.apply("poddisruptionbudgets", object("poddisruptionbudgets", "app")).await;
    play.observe("budget", "poddisruptionbudgets", "app").await;
    play.record_answer("evict before the budget has a status", evict(&client, "app-1", None).await);
    let status = |allowed: i32| {
        json!({"status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 3, "desiredHealthy": 2,
            "expectedPods": 3,
        }})
    };
    play.patch("poddisruptionbudgets", "app", Some("status"), status(1)).await;
    play.observe("budget with a status", "poddisruptionbudgets", "app").await;
    play.observe("within the budget", "pods", "app-1").await;
    play.record_answer("evict another uid within the budget", evict(&client, "app-1", Some(WRONG)).await);
    let after = play.stage().get("poddisruptionbudgets", "app").await.unwrap();
    play.record("budget after a failed eviction", &after["status"]["disruptionsAllowed"]);
    play.patch("poddisruptionbudgets", "app", Some("status"), status(1)).await;
    play.record_answer("evict within the budget", evict(&client, "app-1", None).await);
    play.observe("evicted within the budget", "pods", "app-1").await;
    let after = play.stage().get("poddisruptionbudgets", "app").await.unwrap();
    let disrupted =
        after["status"]["disruptedPods"].as_object().map(|pods| pods.keys().cloned().collect::<Vec<_>>());
    let allowed = after["status"]["disruptionsAllowed"].clone();
    play.record("budget after an eviction", &json!({"allowed": allowed, "disrupted": disrupted}));
    play.record_answer("evict above the budget", evict(&client, "app-2", None).await);
    play.observe("not evicted", "pods", "app-2").await;
    play.record_answer("evict another uid above the budget", evict(&client, "app-2", Some(WRONG)).await);
    let tight = json!({"status": {"currentHealthy": 2}});
    play.patch("poddisruptionbudgets", "app", Some("status"), tight).await;
    play.record_answer(
        "evict above the budget, just enough are healthy",
        evict(&client, "app-2", None).await,
    );
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    play.patch("pods", "app-3", Some("status"), unready).await;
    play.record_answer("evict an unready pod, enough are healthy", evict(&client, "app-3", None).await);
    let short = json!({"status": {"currentHealthy": 1}});
    play.patch("poddisruptionbudgets", "app", Some("status"), short).await;
    let mut unready_pod = object("pods", "app-5");
    unready_pod["metadata"]["labels"] = json!({"app": "app"});
    play.apply("pods", unready_pod).await;
    play.patch("pods", "app-5", Some("status"), json!({"status": {"phase": "Running"}})).await;
    play.record_answer("evict an unready pod, too few are healthy", evict(&client, "app-5", None).await);
    play.record_answer("evict a pending pod above the budget", evict(&client, "app-4", None).await);
    play.observe("evicted since it is pending", "pods", "app-4").await;
    play.patch("poddisruptionbudgets", "app", None, json!({"spec": {"maxUnavailable": 2}})).await;
    play.record_answer("evict before the new budget has a status", evict(&client, "app-2", None).await);
    play.stage().delete("poddisruptionbudgets", "app").await;
    for pod in ["app-2", "app-5"] {
        play.stage().delete("pods", pod).await;
    }
}
