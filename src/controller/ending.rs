//! Deletion of a ScalableService: first restores what was changed for it on objects of other owners.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, runtime::controller::Action};

use super::{capabilities, context::Context, key::ServiceKey};
use crate::{
    actuate::{WRITE_TIMEOUT, has_finalizer, remove_finalizer},
    lease::{Permit, WriteError},
};

/// Pause before a failed restore is retried.
const AGAIN: Duration = Duration::from_secs(2);
/// Time after which failed restores are given up: the deletion of a service, or of its namespace, must not hang.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Removes the finalizer of a service that is being deleted, once its changes are restored.
pub async fn end(meta: &ObjectMeta, key: &ServiceKey, context: &Context) -> Action {
    let Some(deleted) = meta.deletion_timestamp.as_ref().filter(|_| has_finalizer(meta)) else {
        return Action::await_change();
    };
    let (client, permit) = (&context.shared.client, context.shared.leader.permit(WRITE_TIMEOUT));
    let (namespace, name) = (&key.namespace, &key.name);
    if let Err(error) = restore(key, client, &permit).await {
        if context.shared.clock.now().duration_since(deleted.0) < GIVEN_UP_AFTER {
            tracing::info!(namespace, name, error = error.message(), "failed to restore changes; retrying");
            return Action::requeue(AGAIN);
        }
        tracing::warn!(namespace, name, error = error.message(), "gave up restoring changes");
    }
    match remove_finalizer(client, meta, &permit).await {
        Ok(()) => Action::await_change(),
        Err(error) => {
            tracing::info!(
                namespace,
                name,
                error = error.message(),
                "failed to remove the finalizer; retrying"
            );
            Action::requeue(AGAIN)
        }
    }
}

/// Restores what all capabilities changed for a service on objects of other owners.
///
/// # Errors
/// The first failure; the other capabilities are tried as well.
pub async fn restore(key: &ServiceKey, client: &Client, permit: &Permit) -> Result<(), WriteError> {
    let mut failed = None;
    for capability in capabilities::all() {
        match capability.restore(key, client, permit).await {
            Ok(restored) => restored.iter().for_each(|what| {
                tracing::info!(namespace = key.namespace, name = key.name, "restored: {what}");
            }),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}
