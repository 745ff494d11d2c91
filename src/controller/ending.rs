//! The end of a ScalableService for which something was changed outside of our own objects: that is put back first.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, runtime::controller::Action};

use super::{capabilities, context::Context, key::ServiceKey};
use crate::{
    actuate::{WRITE_TIMEOUT, has_finalizer, remove_finalizer},
    lease::{Permit, WriteError},
};

/// Pause before what could not be put back is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// What could not be put back for so long is left as it is: a deletion must not hang, nor that of a namespace.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Lets a service go that is being deleted, once what was changed for it is put back.
pub async fn end(meta: &ObjectMeta, key: &ServiceKey, context: &Context) -> Action {
    let Some(deleted) = meta.deletion_timestamp.as_ref().filter(|_| has_finalizer(meta)) else {
        return Action::await_change();
    };
    let (client, permit) = (&context.shared.client, context.shared.leader.permit(WRITE_TIMEOUT));
    let (namespace, name) = (&key.namespace, &key.name);
    if let Err(error) = restore(key, client, &permit).await {
        if context.shared.clock.now().duration_since(deleted.0) < GIVEN_UP_AFTER {
            tracing::info!(namespace, name, error = error.said(), "not everything is put back yet");
            return Action::requeue(AGAIN);
        }
        tracing::warn!(namespace, name, error = error.said(), "what was changed for it stays as it is");
    }
    match remove_finalizer(client, meta, &permit).await {
        Ok(()) => Action::await_change(),
        Err(error) => {
            tracing::info!(namespace, name, error = error.said(), "the finalizer is not removed yet");
            Action::requeue(AGAIN)
        }
    }
}

/// Puts back what all capabilities changed for a service outside of our own objects.
///
/// # Errors
/// The first thing that could not be put back; all others are tried.
pub async fn restore(key: &ServiceKey, client: &Client, permit: &Permit) -> Result<(), WriteError> {
    let mut failed = None;
    for capability in capabilities::all() {
        match capability.restore(key, client, permit).await {
            Ok(restored) => restored.iter().for_each(|what| {
                tracing::info!(namespace = key.namespace, name = key.name, "put back: {what}");
            }),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}
