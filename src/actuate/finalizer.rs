//! The finalizer of a ScalableService: its deletion waits until changes on objects of other owners are restored. Only services
//! with such changes have it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use plimsoll_api::ScalableService;
use serde_json::{Value, json};

use super::json_patch::json_patch;
use crate::{
    field_managers,
    lease::{Permit, WriteError},
};

/// Its name.
pub const FINALIZER: &str = "plimsoll.dev/restore";

/// Whether an object has the finalizer.
#[must_use]
pub fn has_finalizer(meta: &ObjectMeta) -> bool {
    place(meta).is_some()
}

fn place(meta: &ObjectMeta) -> Option<usize> {
    meta.finalizers.iter().flatten().position(|name| name == FINALIZER)
}

/// Adds the finalizer to the service with this metadata.
///
/// # Errors
/// The write failed; [`super::is_stale`] tells whether the service was changed in the meantime.
pub async fn add_finalizer(client: &Client, meta: &ObjectMeta, permit: &Permit) -> Result<(), WriteError> {
    let add = match meta.finalizers {
        Some(_) => json!({"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}),
        None => json!({"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}),
    };
    patch(client, meta, vec![add], permit).await
}

/// Removes the finalizer from the service with this metadata, if it has it.
///
/// # Errors
/// As [`add_finalizer`].
pub async fn remove_finalizer(client: &Client, meta: &ObjectMeta, permit: &Permit) -> Result<(), WriteError> {
    let Some(place) = place(meta) else { return Ok(()) };
    let path = format!("/metadata/finalizers/{place}");
    let operations =
        vec![json!({"op": "test", "path": path, "value": FINALIZER}), json!({"op": "remove", "path": path})];
    patch(client, meta, operations, permit).await
}

async fn patch(
    client: &Client,
    meta: &ObjectMeta,
    operations: Vec<Value>,
    permit: &Permit,
) -> Result<(), WriteError> {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    let api: Api<ScalableService> = Api::namespaced(client.clone(), namespace);
    let mut all = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": meta.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version}),
    ];
    all.extend(operations);
    let (params, patch) = json_patch(field_managers::FINALIZER, all)?;
    permit.write(api.patch_metadata(name, &params, &patch)).await?;
    Ok(())
}
