//! Marks pods for deletion first, by the deletion cost of the ReplicaSet controller (KEP-2255).

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    field_managers,
    lease::{Permit, WriteError},
};

/// The annotation that the ReplicaSet controller reads: the pod with the lowest cost is deleted first; the default is 0.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The previous value of [`COST`], empty for none; a pod with this annotation is marked by us.
pub const COST_BEFORE: &str = "plimsoll.dev/pod-deletion-cost-before";
/// The lowest possible cost.
const FIRST: i32 = i32::MIN;

/// Marks the pod for deletion first. Returns whether the mark is new; false for a pod that is deleted already.
pub async fn mark(client: &Client, namespace: &str, pod: &str, permit: &Permit) -> Result<bool, WriteError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(found) = permit.read(api.get_metadata_opt(pod)).await? else { return Ok(false) };
    let annotations = found.metadata.annotations.unwrap_or_default();
    if annotations.contains_key(COST_BEFORE) {
        return Ok(false);
    }
    let before = annotations.get(COST).cloned().unwrap_or_default();
    permit.write(patch(&api, pod, json!({COST: FIRST.to_string(), COST_BEFORE: before}))).await?;
    Ok(true)
}

/// Restores the cost from before [`mark`], unless another client has changed it since.
pub async fn unmark(client: &Client, namespace: &str, pod: &str, permit: &Permit) -> Result<(), WriteError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(found) = permit.read(api.get_metadata_opt(pod)).await? else { return Ok(()) };
    let annotations = found.metadata.annotations.unwrap_or_default();
    let Some(before) = annotations.get(COST_BEFORE) else { return Ok(()) };
    let ours = annotations.get(COST).is_some_and(|cost| *cost == FIRST.to_string());
    let cost = if before.is_empty() { Value::Null } else { Value::from(before.as_str()) };
    let annotations =
        if ours { json!({COST: cost, COST_BEFORE: Value::Null}) } else { json!({COST_BEFORE: Value::Null}) };
    permit.write(patch(&api, pod, annotations)).await
}

async fn patch(api: &Api<Pod>, pod: &str, annotations: Value) -> Result<(), kube::Error> {
    let params =
        PatchParams { field_manager: Some(field_managers::DRAIN.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    match api.patch_metadata(pod, &params, &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}
