//! The Lease, read and written as by the election.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{
    play::Play,
    stage::{NAMESPACE, api},
};

fn lease(holder: &str, transitions: i32) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "plimsoll", "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": transitions,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    })
}

fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}

pub async fn all(play: &mut Play) {
    let api = api(&play.client, "leases");
    let params = PostParams::default();
    play.sets("leases", "plimsoll", &lease("one", 0));
    play.record_object("read a missing lease", "leases", api.get_opt("plimsoll").await);
    for (step, holder) in [("create a lease", "one"), ("create it again", "two")] {
        play.record_object(step, "leases", api.create(&params, &object(&lease(holder, 0))).await);
    }
    let read = api.get_opt("plimsoll").await.unwrap().unwrap();
    play.record_object("read it", "leases", Ok(&read));
    let mut renewed = read.clone();
    renewed.data["spec"]["renewTime"] = json!("2026-01-01T00:00:05.000000Z");
    play.record_object("renew", "leases", api.replace("plimsoll", &params, &renewed).await);
    play.record_object(
        "renew from an old version",
        "leases",
        api.replace("plimsoll", &params, &renewed).await,
    );
    let mut released = api.get_opt("plimsoll").await.unwrap().unwrap();
    released.data["spec"].as_object_mut().unwrap().remove("holderIdentity");
    play.record_object("release", "leases", api.replace("plimsoll", &params, &released).await);
    let same = api.get_opt("plimsoll").await.unwrap().unwrap();
    play.record_object("replace by the same", "leases", api.replace("plimsoll", &params, &same).await);
    play.stage().delete("leases", "plimsoll").await;
    play.record_object("replace a deleted one", "leases", api.replace("plimsoll", &params, &same).await);
    play.observe("replaced when deleted", "leases", "plimsoll").await;
    play.record_object("create a new one", "leases", api.create(&params, &object(&lease("two", 0))).await);
    play.record_object("replace by the deleted one", "leases", api.replace("plimsoll", &params, &same).await);
    play.observe("at the end", "leases", "plimsoll").await;
    play.stage().delete("leases", "plimsoll").await;
}
