//! Lists with pages.

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

fn page(list: &ObjectList<DynamicObject>) -> Value {
    let names: Vec<_> = list.items.iter().map(|item| item.metadata.name.clone()).collect();
    json!({
        "names": names,
        "types": list.items.iter().map(|item| item.types.clone().unwrap_or_default()).collect::<Vec<_>>(),
        "list": list.types,
        "continue": list.metadata.continue_.as_ref().is_some_and(|token| !token.is_empty()),
        "remaining": list.metadata.remaining_item_count,
        "version": list.metadata.resource_version.is_some(),
    })
}
