//! Writes of the status of a ScalableService, by server-side apply.

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    field_managers,
    lease::{Permit, WriteError},
};
use plimsoll_api::{ScalableService, ScalableServiceStatus};

/// Writes the whole status, except for `traffic.balancers`: each balancer's agent owns its own entry.
pub async fn write_status(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &ScalableServiceStatus,
    permit: &Permit,
) -> Result<(), WriteError> {
    let mut status = status.clone();
    if let Some(traffic) = &mut status.traffic {
        traffic.balancers.clear();
    }
    let api: Api<ScalableService> = Api::namespaced(client.clone(), namespace);
    let patch = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalableService",
        "metadata": {"name": name, "namespace": namespace},
        "status": status,
    });
    let params = PatchParams::apply(field_managers::STATUS).force();
    permit.write(api.patch_status(name, &params, &Patch::Apply(patch))).await?;
    Ok(())
}

/// Removes the entry of a deleted balancer, by an empty apply as its agent's field manager.
pub async fn forget_balancer(
    client: &Client,
    namespace: &str,
    name: &str,
    pod: &str,
    permit: &Permit,
) -> Result<(), WriteError> {
    let api: Api<ScalableService> = Api::namespaced(client.clone(), namespace);
    let patch = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalableService",
        "metadata": {"name": name, "namespace": namespace},
    });
    let params = PatchParams::apply(&field_managers::agent(pod)).force();
    permit.write(api.patch_status(name, &params, &Patch::Apply(patch))).await?;
    Ok(())
}
