//! Fields that were applied before and are no longer applied.

use serde_json::{Value, json};

use super::objects::object;
use crate::play::Play;

/// A Deployment with more than the usual fields.
fn rich() -> Value {
    let mut rich = object("deployments", "rich");
    rich["metadata"]["annotations"] = json!({"one": "1", "two": "2"});
    rich["metadata"]["labels"]["more"] = json!("one");
    rich["spec"]["minReadySeconds"] = json!(5);
    let pod = &mut rich["spec"]["template"]["spec"];
    pod["nodeSelector"] = json!({"disk": "fast"});
    pod["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    pod["containers"][0]["env"] = json!([{"name": "A", "value": "a"}, {"name": "B", "value": "b"}]);
    pod["containers"][0]["args"] = json!(["one", "two"]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    let ports = pod["containers"][0]["ports"].as_array_mut().unwrap();
    ports.push(json!({"name": "more", "containerPort": 8081}));
    let containers = pod["containers"].as_array_mut().unwrap();
    containers.push(json!({"name": "second", "image": "none", "env": [{"name": "C", "value": "c"}]}));
    rich
}

pub async fn all(play: &mut Play) {
    play.apply("deployments", rich()).await;
    play.observe("applied", "deployments", "rich").await;
    let mut fewer = rich();
    fewer["metadata"]["annotations"].as_object_mut().unwrap().remove("one");
    let pod = &mut fewer["spec"]["template"]["spec"];
    pod["containers"][0]["env"].as_array_mut().unwrap().remove(0);
    pod["containers"][0]["args"] = json!(["three"]);
    pod["containers"].as_array_mut().unwrap().remove(1);
    play.apply("deployments", fewer).await;
    play.observe("applied with fewer items", "deployments", "rich").await;
    let edit = json!({
        "metadata": {"annotations": {"two": "edited", "three": "3"}, "labels": {"more": null}},
        "spec": {"minReadySeconds": 6},
    });
    play.patch("deployments", "rich", None, edit).await;
    play.observe("edited", "deployments", "rich").await;
    play.apply("deployments", object("deployments", "rich")).await;
    play.observe("applied without any of them", "deployments", "rich").await;
    play.patch("deployments", "rich", None, json!({"metadata": {"annotations": null}})).await;
    play.observe("without annotations", "deployments", "rich").await;
    play.apply("deployments", rich()).await;
    play.observe("applied as at first", "deployments", "rich").await;
    play.stage().delete("deployments", "rich").await;
}
