//! Wrappers for the controller's own write functions.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Error,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::Status,
};
use plimsoll::{
    actuate::{
        self, Events, FoundPolicy, Note, ScaleError,
        balancer::{self, Backend, BalancerError, Images, NetworkRules, Objects, Setup},
    },
    lease::WriteError,
};
use plimsoll_api::{BalancerStatus, DecisionCode, ScalableService, ScalableServiceStatus};
use serde_json::{Value, json};

use crate::{controller::Controller, stage::NAMESPACE};

/// The server's response to a write. The lease is held for the whole test, and the time limit is long.
fn answered<T>(result: Result<T, WriteError>) -> Result<T, Error> {
    result.map_err(|error| match error {
        WriteError::Api(error) => *error,
        other => panic!("{other}"),
    })
}

/// Whether the controller interprets the error as a concurrent change of the route.
pub fn is_stale(error: Error) -> bool {
    actuate::is_stale(&error.into())
}

pub async fn write_scale(
    client: &Controller,
    api: &Api<DynamicObject>,
    name: &str,
    from: i32,
    to: i32,
) -> Result<(), ScaleError> {
    actuate::write_scale(api, name, from, to, &client.permit()).await.map(drop)
}

pub async fn mark(client: &Controller, pod: &str) -> Result<bool, Error> {
    answered(actuate::mark(client, NAMESPACE, pod, &client.permit()).await)
}

pub async fn unmark(client: &Controller, pod: &str) -> Result<(), Error> {
    answered(actuate::unmark(client, NAMESPACE, pod, &client.permit()).await)
}

/// The calls of `actuate::Evictor`, which itself hides the responses 404 and 409 and needs the time since the pod exists.
pub async fn evict(client: &Client, pod: &str, uid: Option<&str>) -> Result<Status, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let uid = match uid {
        Some(uid) => Some(uid.to_owned()),
        None => api.get_metadata_opt(pod).await?.and_then(|found| found.metadata.uid),
    };
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod},
        "deleteOptions": {"preconditions": {"uid": uid}},
    });
    api.create_subresource("eviction", pod, &PostParams::default(), &eviction).await
}

pub async fn write_status(
    client: &Controller,
    name: &str,
    status: &ScalableServiceStatus,
) -> Result<(), Error> {
    answered(actuate::write_status(client, NAMESPACE, name, status, &client.permit()).await)
}

pub async fn forget_balancer(client: &Controller, name: &str, pod: &str) -> Result<(), Error> {
    answered(actuate::forget_balancer(client, NAMESPACE, name, pod, &client.permit()).await)
}

/// The write of a balancer's agent (`balancer::agent::report`); `None` removes the entry.
pub async fn report(
    client: &Client,
    name: &str,
    pod: &str,
    entry: Option<&BalancerStatus>,
) -> Result<(), Error> {
    let status = entry.map_or(json!({}), |entry| json!({"traffic": {"balancers": [entry]}}));
    let patch = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalableService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "status": status,
    });
    let params = PatchParams::apply(&format!("plimsoll-lb-{pod}")).force();
    let api: Api<ScalableService> = Api::namespaced(client.clone(), NAMESPACE);
    api.patch_status(name, &params, &Patch::Apply(patch)).await.map(drop)
}

/// A setup with all optional objects.
fn setup() -> Setup {
    let images =
        Images { agent: "plimsoll:1".into(), haproxy: "haproxy:2.8".into(), nginx: "nginx:1.28".into() };
    Setup { network_policy: Some(NetworkRules::default()), ..Setup::of(images) }
}

pub fn balancer_objects(service: &ScalableService) -> Objects {
    let selector = BTreeMap::from([("app".to_owned(), "checkout".to_owned())]);
    balancer::objects(service, &setup(), &Backend { selector, priority_class: None }).unwrap()
}

pub async fn apply_balancer(client: &Controller, objects: &Objects) -> Result<(), BalancerError> {
    balancer::apply(client, objects, &client.permit()).await.map(drop)
}

pub async fn remove_balancer(client: &Controller, service: &ScalableService) -> Result<(), BalancerError> {
    balancer::remove(client, service, Some(&setup()), &client.permit()).await
}

pub async fn patch_route(client: &Controller, name: &str, patch: Value) -> Result<DynamicObject, Error> {
    let Value::Array(patch) = patch else { panic!("{patch} is not a JSON patch") };
    answered(actuate::patch_route(client, NAMESPACE, name, patch, &client.permit()).await)
}

pub async fn add_finalizer(client: &Controller, meta: &ObjectMeta) -> Result<(), Error> {
    answered(actuate::add_finalizer(client, meta, &client.permit()).await)
}

pub async fn remove_finalizer(client: &Controller, meta: &ObjectMeta) -> Result<(), Error> {
    answered(actuate::remove_finalizer(client, meta, &client.permit()).await)
}

pub async fn find_policy(client: &Client, service: &ScalableService) -> Result<FoundPolicy, Error> {
    actuate::find_policy(client, service).await
}

pub async fn apply_policy(
    client: &Controller,
    service: &ScalableService,
    spec: &Value,
) -> Result<DynamicObject, Error> {
    answered(actuate::apply_policy(client, service, spec, &client.permit()).await)
}

pub async fn delete_policy(
    client: &Controller,
    service: &ScalableService,
    policy: &DynamicObject,
) -> Result<(), Error> {
    answered(actuate::delete_policy(client, service, policy, &client.permit()).await)
}

pub async fn publish(client: &Controller, events: &Events, message: &str, about: &ObjectReference) {
    let note = Note { warning: false, reason: DecisionCode::ScaledUp.into(), message: message.to_owned() };
    events.publish(&note, about, &client.permit()).await;
}
