//! Restores the original weights of the rules that a service changed.

use kube::Client;

use crate::{
    actuate,
    balancer::gateway::{Route, put_back},
    controller::key::ServiceKey,
    lease::{Permit, WriteError},
};

/// Restores the weights of all rules that a service changed. Returns a sentence for each restored route.
///
/// # Errors
/// Routes could not be listed, or one could not be written; others may already be restored.
pub async fn weights(key: &ServiceKey, client: &Client, permit: &Permit) -> Result<Vec<String>, WriteError> {
    let mut restored = Vec::new();
    for object in permit.read(actuate::routes_of(client, &key.namespace)).await? {
        let Some(route) = Route::of(&object) else { continue };
        let Some(change) = put_back(&route, &key.name) else { continue };
        actuate::patch_route(client, &route.namespace, &route.name, change.patch, permit).await?;
        restored.push(format!("HTTPRoute {}: {}", route.name, change.what));
    }
    Ok(restored)
}
