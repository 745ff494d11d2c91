//! Paged lists.

use k8s_openapi::serde::Serialize;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, ObjectList},
};
use serde_json::{Value, json};

use super::objects::object;
use crate::{
    play::Play,
    stage::{api, resource},
};

pub async fn all(play: &mut Play) {
    let api = api(&play.client, "deployments");
    let empty = api.list(&ListParams::default()).await.unwrap();
    play.record("list: nothing", &page(&empty));
    for name in ["page-c", "page-a", "page-b"] {
        play.apply("deployments", object("deployments", name)).await;
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    play.record("list: first page", &page(&first));
    play.apply("deployments", object("deployments", "page-d")).await;
    let token = first.metadata.continue_.clone().unwrap();
    let second = api.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    play.record("list: second page, as of the first", &page(&second));
    let same = first.metadata.resource_version == second.metadata.resource_version;
    play.record("list: both pages have the same resourceVersion", &json!(same));
    let all = api.list(&ListParams::default()).await.unwrap();
    play.record("list: all", &page(&all));
    let everywhere: Api<DynamicObject> = Api::all_with(Client::clone(&play.client), &resource("deployments"));
    let all = everywhere.list(&ListParams::default()).await.unwrap();
    play.record("list: all namespaces", &page(&all));
    for name in ["page-a", "page-b", "page-c", "page-d"] {
        play.stage().delete("deployments", name).await;
    }
}

/// Lists of metadata, as in the release of services.
pub async fn metadata(play: &mut Play) {
    let api = api(&play.client, "scalableservices");
    let empty = api.list_metadata(&ListParams::default()).await.unwrap();
    play.record("list of metadata: nothing", &page(&empty));
    for name in ["page-b", "page-a"] {
        play.apply("scalableservices", object("scalableservices", name)).await;
    }
    let first = api.list_metadata(&ListParams::default().limit(1)).await.unwrap();
    play.record("list of metadata: first page", &page(&first));
    let token = first.metadata.continue_.clone().unwrap();
    let second = api.list_metadata(&ListParams::default().limit(1).continue_token(&token)).await.unwrap();
    play.record("list of metadata: second page", &page(&second));
    for item in first.items.iter().chain(&second.items) {
        let item = play.normal("scalableservices", &serde_json::to_value(item).unwrap());
        play.record("list of metadata: item", &item);
    }
    let everywhere: Api<DynamicObject> =
        Api::all_with(Client::clone(&play.client), &resource("scalableservices"));
    let all = everywhere.list_metadata(&ListParams::default()).await.unwrap();
    play.record("list of metadata: all namespaces", &page(&all));
    for name in ["page-a", "page-b"] {
        play.stage().delete("scalableservices", name).await;
    }
}

fn page<T: Clone + Serialize>(list: &ObjectList<T>) -> Value {
    let items: Vec<Value> = list.items.iter().map(|item| serde_json::to_value(item).unwrap()).collect();
    let types = |item: &Value| json!({"apiVersion": item["apiVersion"], "kind": item["kind"]});
    json!({
        "names": items.iter().map(|item| item["metadata"]["name"].clone()).collect::<Vec<_>>(),
        "types": items.iter().map(types).collect::<Vec<_>>(),
        "list": list.types,
        "continue": list.metadata.continue_.as_ref().is_some_and(|token| !token.is_empty()),
        "remaining": list.metadata.remaining_item_count,
        "version": list.metadata.resource_version.is_some(),
    })
}
