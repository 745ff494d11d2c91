//! The status of a ScalableService by server-side apply: the controller's fields, and the entries of the agents.

use plimsoll_api::{BalancerStatus, ScalableServiceStatus};
use serde_json::{Value, json};

use super::objects::object;
use crate::{
    play::Play,
    writers::{forget_balancer, report, write_status},
};

const TIME: &str = "2026-01-01T00:00:00Z";

fn condition(type_: &str, status: &str) -> Value {
    json!({"type": type_, "status": status, "reason": "Test", "message": "set by the test",
        "lastTransitionTime": TIME})
}

fn first() -> Value {
    json!({
        "observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "desiredReplicas": 2, "selector": "app=status",
        "summary": {"target": "deployment/status", "replicas": "1/2", "range": "2-10", "kpi": ""},
        "kpis": [], "decisions": [],
        "traffic": {"draining": [{"pod": "a", "since": TIME}, {"pod": "b", "since": TIME}], "readyBalancers": 2},
        "conditions": [condition("Ready", "True"), condition("Stalled", "False")],
    })
}

fn entry(pod: &str, drained: &[&str]) -> BalancerStatus {
    BalancerStatus {
        pod: pod.to_owned(),
        observed_generation: Some(1),
        in_sync: true,
        programmed: 2,
        drained: drained.iter().map(|pod| (*pod).to_owned()).collect(),
        ..BalancerStatus::default()
    }
}

pub async fn all(play: &mut Play) {
    play.apply("scalableservices", object("scalableservices", "status")).await;
    write(play, "first status", &first()).await;
    write(play, "the same status", &first()).await;
    agents(play).await;
    let mut second = first();
    second["replicas"] = json!(3);
    second["traffic"]["draining"] = json!([{"pod": "b", "since": TIME}]);
    second["conditions"] = json!([condition("Ready", "False")]);
    second.as_object_mut().unwrap().remove("readyReplicas");
    write(play, "second status, with one draining pod and one condition", &second).await;
    second["traffic"]["draining"] = json!([]);
    write(play, "no draining pod", &second).await;
    write(play, "no draining pod, again", &second).await;
    take_over(play, &second).await;
    second.as_object_mut().unwrap().remove("traffic");
    write(play, "no traffic, the entries stay", &second).await;
    withdrawals(play, &second).await;
    missing(play, &second).await;
    play.stage().delete("scalableservices", "status").await;
}

async fn write(play: &mut Play, step: &str, status: &Value) {
    let status: ScalableServiceStatus = serde_json::from_value(status.clone()).unwrap();
    play.sets("scalableservices", "status", &json!({"status": status}));
    let written = write_status(&play.client, "status", &status).await;
    play.record_result(step, written);
    play.observe(step, "scalableservices", "status").await;
}

async fn write_entry(play: &mut Play, step: &str, pod: &str, entry: Option<&BalancerStatus>) {
    if let Some(entry) = entry {
        play.sets("scalableservices", "status", &json!({"status": {"traffic": {"balancers": [entry]}}}));
    }
    let written = report(&play.client, "status", pod, entry).await;
    play.record_result(step, written);
    play.observe(step, "scalableservices", "status").await;
}

async fn agents(play: &mut Play) {
    write_entry(play, "the first agent", "lb-0", Some(&entry("lb-0", &["a"]))).await;
    write_entry(play, "the second agent", "lb-1", Some(&entry("lb-1", &[]))).await;
    write_entry(play, "the second agent, again", "lb-1", Some(&entry("lb-1", &[]))).await;
    write_entry(play, "the first agent, with other pods", "lb-0", Some(&entry("lb-0", &["a", "b"]))).await;
    let message =
        BalancerStatus { message: Some("odd".into()), observed_generation: None, ..entry("lb-0", &[]) };
    write_entry(play, "the first agent, with a message", "lb-0", Some(&message)).await;
}

/// A user changes fields of other managers.
async fn take_over(play: &mut Play, status: &Value) {
    let patch = json!({"status": {"replicas": 99, "summary": {"kpi": "mine"}, "readyReplicas": 98}});
    play.patch("scalableservices", "status", Some("status"), patch).await;
    play.observe("a user takes fields over", "scalableservices", "status").await;
    write(play, "the controller takes them back", status).await;
    let patch = json!({"status": {"desiredReplicas": null, "conditions": [condition("Ready", "Unknown")]}});
    play.patch("scalableservices", "status", Some("status"), patch).await;
    play.observe("a user removes fields", "scalableservices", "status").await;
    write(play, "the controller sets them again", status).await;
}

async fn withdrawals(play: &mut Play, status: &Value) {
    for step in ["forget an agent", "forget it again"] {
        let removed = forget_balancer(&play.client, "status", "lb-0").await;
        play.record_result(step, removed);
        play.observe(step, "scalableservices", "status").await;
    }
    write_entry(play, "the last agent withdraws", "lb-1", None).await;
    write_entry(play, "the last agent withdraws again", "lb-1", None).await;
    write_entry(play, "an agent is back", "lb-2", Some(&entry("lb-2", &[]))).await;
    let mut traffic = status.clone();
    traffic["traffic"] = json!({"draining": [], "readyBalancers": 1});
    write(play, "traffic again", &traffic).await;
    write_entry(play, "it withdraws, the controller's traffic stays", "lb-2", None).await;
    let patch = json!({"status": {"traffic": null}});
    play.patch("scalableservices", "status", Some("status"), patch).await;
    play.observe("a user removes traffic", "scalableservices", "status").await;
    write(play, "no traffic any more", status).await;
    play.patch("scalableservices", "status", None, json!({"spec": {"maxReplicas": 12}})).await;
    play.observe("a new spec", "scalableservices", "status").await;
}

async fn missing(play: &mut Play, status: &Value) {
    let status: ScalableServiceStatus = serde_json::from_value(status.clone()).unwrap();
    let client = play.client.clone();
    play.record_result("status of a missing service", write_status(&client, "missing", &status).await);
    play.record_result("forget at a missing service", forget_balancer(&client, "missing", "lb-0").await);
    play.record_result(
        "an entry of a missing service",
        report(&client, "missing", "lb-0", Some(&entry("lb-0", &[]))).await,
    );
}
