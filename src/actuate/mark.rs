//! Marks on pods that are to be deleted first, which the ReplicaSet controller heeds (KEP-2255).

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

/// What the ReplicaSet controller reads: the lowest goes first; 0 without it.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// What [`COST`] was before, empty for nothing; a pod with this annotation bears our mark.
pub const COST_BEFORE: &str = "plimsoll.dev/pod-deletion-cost-before";
/// Below whatever a user may have set.
const FIRST: i32 = i32::MIN;

/// Makes the pod the first to be deleted; whether it was not before. A pod that is gone already is none to worry about.
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

/// Puts back what was before [`mark`], unless somebody has changed it since.
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
