//! Pods that are to be replaced, by the eviction API: PodDisruptionBudgets have a say (policy/v1 `Eviction`).

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::Eviction},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::{Api, Client, Config, api::PostParams, core::Status};

use crate::lease::{Permit, WriteError};

/// A client for [`Evictor`].
///
/// # Errors
/// The configuration can't be used.
pub fn client_without_retries(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Client::try_from(config)
}

/// Evicts pods.
#[derive(Clone)]
pub struct Evictor(Client);

impl Evictor {
    /// By a client that does not retry by itself, as [`client_without_retries`] makes it: kube's own would wait for as long
    /// as a budget's refusal says (429 with `Retry-After`) and ask again, while the status says nothing and no look is taken.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Evicts the pod that has had this name since before `since`; one that is gone already is as good as evicted.
    ///
    /// A PodDisruptionBudget that does not allow it answers 429.
    pub async fn evict(
        &self,
        namespace: &str,
        pod: &str,
        since: Timestamp,
        permit: &Permit,
    ) -> Result<(), WriteError> {
        let api: Api<Pod> = Api::namespaced(self.0.clone(), namespace);
        let Some(found) = permit.read(api.get_metadata_opt(pod)).await? else { return Ok(()) };
        let created = found.metadata.creation_timestamp;
        if created.is_some_and(|created| created.0 > since) || found.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        // Another pod of the same name, as a StatefulSet makes it, must not be hit.
        let only = Preconditions { uid: found.metadata.uid, resource_version: None };
        match permit.write(evict_only(&api, pod, only)).await {
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Evicts the pod that meets `only`; 409 if it is another one.
///
/// Not by kube's `Api::evict`: that of 5.0 writes the field as `delete_options`, which the API server ignores.
async fn evict_only(api: &Api<Pod>, pod: &str, only: Preconditions) -> Result<Status, kube::Error> {
    let eviction = Eviction {
        metadata: ObjectMeta { name: Some(pod.to_owned()), ..ObjectMeta::default() },
        delete_options: Some(DeleteOptions { preconditions: Some(only), ..DeleteOptions::default() }),
    };
    api.create_subresource("eviction", pod, &PostParams::default(), &eviction).await
}
