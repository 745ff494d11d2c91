//! Weights of a rule of somebody's HTTPRoute, by a JSON patch that tests what it was planned on.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::Value;

use crate::balancer::gateway::route_resource;

/// Owner of the weights in `managedFields`.
const FIELD_MANAGER: &str = "plimsoll-gateway";

/// Applies the operations of `patch`, a JSON patch (RFC 6902), all or none. Returns the route as it is since.
///
/// # Errors
/// The API server refused, or did not answer; [`is_stale`] tells whether the route was changed meanwhile.
pub async fn patch_route(
    client: &Client,
    namespace: &str,
    name: &str,
    patch: Value,
) -> Result<DynamicObject, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &route_resource());
    let patch = serde_json::from_value(patch).map(Patch::<()>::Json).map_err(kube::Error::SerdeError)?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &patch).await
}

/// Whether the route is not as the patch was planned on: a failed `test` is 422 Invalid without causes, which a refusal
/// by the schema has.
#[must_use]
pub fn is_stale(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => true,
            422 => status.details.as_ref().is_none_or(|details| details.causes.is_empty()),
            _ => false,
        },
        _ => false,
    }
}
