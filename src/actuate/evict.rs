//! Evictions of pods through the eviction API, which respects PodDisruptionBudgets (policy/v1 `Eviction`).

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
/// The configuration is invalid.
pub fn client_without_retries(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Client::try_from(config)
}

/// Evicts pods.
#[derive(Clone)]
pub struct Evictor(Client);

impl Evictor {
    /// An evictor with a client without automatic retries, from [`client_without_retries`]. With kube's default retries, a
    /// refusal by a budget (429 with `Retry-After`) would block the turn, and the status would not report it.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Evicts the pod of this name that was created before `since`. A pod that is deleted already counts as evicted.
    ///
    /// If a PodDisruptionBudget does not allow it, the answer is 429.
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
        // Do not evict a new pod of the same name, as created by a StatefulSet.
        let only = Preconditions { uid: found.metadata.uid, resource_version: None };
        match permit.write(evict_only(&api, pod, only)).await {
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Evicts the pod that meets the preconditions `only`; 409 if it does not.
///
/// kube's `Api::evict` is not suitable: version 5.0 writes the field as `delete_options`, which the API server ignores.
async fn evict_only(api: &Api<Pod>, pod: &str, only: Preconditions) -> Result<Status, kube::Error> {
    let eviction = Eviction {
        metadata: ObjectMeta { name: Some(pod.to_owned()), ..ObjectMeta::default() },
        delete_options: Some(DeleteOptions { preconditions: Some(only), ..DeleteOptions::default() }),
    };
    api.create_subresource("eviction", pod, &PostParams::default(), &eviction).await
}
