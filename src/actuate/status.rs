//! The status of a ScalableService, by server-side apply.

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::api::{ScalableService, ScalableServiceStatus};

/// Owner of `status` in `managedFields`.
const FIELD_MANAGER: &str = "plimsoll-status";

/// Writes the whole status.
pub async fn write_status(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &ScalableServiceStatus,
) -> Result<(), kube::Error> {
    let api: Api<ScalableService> = Api::namespaced(client.clone(), namespace);
    let patch = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalableService",
        "metadata": {"name": name, "namespace": namespace},
        "status": status,
    });
    api.patch_status(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch)).await?;
    Ok(())
}
