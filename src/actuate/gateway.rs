//! Writes of the weights of a rule of a user's HTTPRoute, by a JSON patch that tests the state it was planned on; and of our
//! own BackendTrafficPolicy.

use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::Value;

use super::{json_patch::json_patch, owned};
use crate::{
    balancer::gateway::{policy_resource, route_resource},
    field_managers,
    lease::{Permit, WriteError},
};
use plimsoll_api::ScalableService;

/// The HTTPRoutes of a namespace; none if the cluster does not serve the kind.
///
/// # Errors
/// The API server refused the request, or did not answer.
pub async fn routes_of(client: &Client, namespace: &str) -> Result<Vec<DynamicObject>, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &route_resource());
    match api.list(&ListParams::default()).await {
        Ok(routes) => Ok(routes.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Applies the operations of `patch`, a JSON patch (RFC 6902), all or none. Returns the patched route.
///
/// # Errors
/// The write failed; [`is_stale`] tells whether the route was changed in the meantime.
pub async fn patch_route(
    client: &Client,
    namespace: &str,
    name: &str,
    patch: Vec<Value>,
    permit: &Permit,
) -> Result<DynamicObject, WriteError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &route_resource());
    let (params, patch) = json_patch(field_managers::GATEWAY, patch)?;
    permit.write(api.patch(name, &params, &patch)).await
}

/// Whether the object has changed since the patch was planned. A failed `test` is 422 Invalid without causes; a violation of
/// the schema is 422 with causes.
#[must_use]
pub fn is_stale(error: &WriteError) -> bool {
    let WriteError::Api(error) = error else { return false };
    match error.as_ref() {
        kube::Error::Api(status) => match status.code {
            409 => true,
            422 => status.details.as_ref().is_none_or(|details| details.causes.is_empty()),
            _ => false,
        },
        _ => false,
    }
}

/// The BackendTrafficPolicy that is named after a service.
#[derive(Debug)]
pub enum FoundPolicy {
    /// There is none, or the cluster does not serve the kind.
    None,
    /// It belongs to this service.
    Own(Box<DynamicObject>),
    /// It has another owner, or none.
    Foreign,
}

/// Reads the policy that is named after `service`.
///
/// # Errors
/// The API server refused the request, or did not answer.
pub async fn find_policy(client: &Client, service: &ScalableService) -> Result<FoundPolicy, kube::Error> {
    match policies(client, service).get(&service.name_any()).await {
        Ok(found) if owned::belongs_to(&found, service) => Ok(FoundPolicy::Own(Box::new(found))),
        Ok(_) => Ok(FoundPolicy::Foreign),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(FoundPolicy::None),
        Err(error) => Err(error),
    }
}

/// Applies `spec` as the policy of `service`. An existing policy must not have another owner. Returns the applied policy.
///
/// # Errors
/// The write failed; the code is 404 if the API server does not serve the kind.
pub async fn apply_policy(
    client: &Client,
    service: &ScalableService,
    spec: &Value,
    permit: &Permit,
) -> Result<DynamicObject, WriteError> {
    let name = service.name_any();
    let mut policy = DynamicObject::new(&name, &policy_resource()).data(serde_json::json!({"spec": spec}));
    policy.metadata.owner_references = service.controller_owner_ref(&()).map(|owner| vec![owner]);
    let params = PatchParams::apply(field_managers::GATEWAY).force();
    permit.write(policies(client, service).patch(&name, &params, &Patch::Apply(&policy))).await
}

/// Deletes `policy`, but not a new object of the same name.
///
/// # Errors
/// The write failed.
pub async fn delete_policy(
    client: &Client,
    service: &ScalableService,
    policy: &DynamicObject,
    permit: &Permit,
) -> Result<(), WriteError> {
    owned::delete(&policies(client, service), policy, permit).await
}

fn policies(client: &Client, service: &ScalableService) -> Api<DynamicObject> {
    let namespace = service.namespace().unwrap_or_default();
    Api::namespaced_with(client.clone(), &namespace, &policy_resource())
}
