//! Deletions with preconditions and finalizers.

use kube::api::{DeleteParams, Preconditions};
use serde_json::json;

use super::objects::object;
use crate::{play::Play, stage::api};

pub async fn all(play: &mut Play) {
    for plural in [
        "deployments",
        "networkpolicies",
        "poddisruptionbudgets",
        "roles",
        "rolebindings",
        "serviceaccounts",
        "services",
    ] {
        delete(play, plural).await;
    }
    for plural in ["deployments", "services", "backendtrafficpolicies"] {
        finalizers(play, plural).await;
    }
}

fn params(uid: Option<&str>) -> DeleteParams {
    let preconditions = Preconditions { uid: uid.map(str::to_owned), ..Preconditions::default() };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() }
}

async fn request(play: &mut Play, step: &str, plural: &str, uid: Option<&str>) {
    let deleted = api(&play.client, plural).delete("gone", &params(uid)).await;
    let answer = deleted.map(|answer| {
        answer.either(
            |object| json!({"object": play.normal(plural, &serde_json::to_value(object).unwrap())}),
            |status| json!({"status": status}),
        )
    });
    play.record_answer(&format!("{step}: {plural}"), answer);
}

async fn delete(play: &mut Play, plural: &str) {
    play.apply(plural, object(plural, "gone")).await;
    play.observe("to be deleted", plural, "gone").await;
    let uid = play.stage().get(plural, "gone").await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    request(play, "delete another uid", plural, Some("11111111-1111-4111-8111-111111111111")).await;
    play.observe("not deleted", plural, "gone").await;
    request(play, "delete", plural, Some(&uid)).await;
    play.observe("deleted", plural, "gone").await;
    request(play, "delete again", plural, Some(&uid)).await;
}

async fn finalizers(play: &mut Play, plural: &str) {
    let mut kept = match plural {
        "backendtrafficpolicies" => {
            json!({"metadata": {"name": "gone"}, "spec": {"loadBalancer": {"type": "A"}}})
        }
        plural => object(plural, "gone"),
    };
    kept["metadata"]["finalizers"] = json!(["test.plimsoll.dev/one", "test.plimsoll.dev/two"]);
    play.apply(plural, kept).await;
    play.observe("with finalizers", plural, "gone").await;
    request(play, "delete with finalizers", plural, None).await;
    play.observe("marked", plural, "gone").await;
    request(play, "delete once more", plural, None).await;
    play.observe("still marked", plural, "gone").await;
    let one = json!({"metadata": {"finalizers": ["test.plimsoll.dev/two"]}});
    play.patch(plural, "gone", None, one).await;
    play.observe("one finalizer left", plural, "gone").await;
    play.patch(plural, "gone", None, json!({"metadata": {"finalizers": null}})).await;
    play.observe("no finalizer left", plural, "gone").await;
}
