//! `plimsoll release`: cleanup after the operator is uninstalled. Restores what it changed on objects of other owners, and
//! removes its finalizer from all ScalableServices.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, api::ListParams};
use thiserror::Error;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    ending::restore,
    key::ServiceKey,
    operate::{LEASE, TURNS_END_WITHIN},
};
use crate::{
    actuate::{WRITE_TIMEOUT, has_finalizer, remove_finalizer},
    clock::Clock,
    lease::{self, LeaseConfig, LeaseParams, WriteError},
    random::Random,
};
use plimsoll_api::ScalableService;

/// Time limit for acquiring the lease. If the operator ended without releasing it, it has to expire first.
const LEADS_WITHIN: Duration = Duration::from_secs(60);
/// Interval for checking whether this process leads.
const GLANCE: Duration = Duration::from_millis(200);
/// Page size of lists.
const PAGE: u32 = 500;

/// The operator that was uninstalled.
#[derive(Clone, Debug)]
pub struct ReleaseOptions {
    /// The namespaces that it worked in; none means all.
    pub namespaces: Vec<String>,
    /// Name of this pod, for the lease.
    pub pod_name: String,
    /// The operator's namespace, where the lease is.
    pub pod_namespace: String,
}

/// Why services could not be released.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// Neither a kubeconfig nor a service account was found.
    #[error("no cluster is configured: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The API server refused the list, or did not answer.
    #[error("ScalableServices can't be listed: {0}")]
    List(#[from] kube::Error),
    /// Another operator leads.
    #[error("the lease plimsoll in namespace {0} is still held by an operator: stop it first")]
    Led(String),
    /// Some services keep the finalizer.
    #[error("{0}")]
    Kept(String),
}

/// Releases all services that have the finalizer. Returns their number.
///
/// # Errors
/// Another operator leads, or some services could not be released; all others are.
pub async fn release(options: ReleaseOptions) -> Result<usize, ReleaseError> {
    let client = Client::try_from(kube::Config::infer().await?)?;
    release_with(client, options, Clock::system(), Random::system()).await
}

/// The same with explicit dependencies.
///
/// # Errors
/// As [`release`].
pub async fn release_with(
    client: Client,
    options: ReleaseOptions,
    clock: Clock,
    random: Random,
) -> Result<usize, ReleaseError> {
    let config = LeaseConfig {
        namespace: options.pod_namespace.clone(),
        name: LEASE.to_owned(),
        identity: lease::identity(&options.pod_name, &random),
        params: LeaseParams::default(),
    };
    let (elector, leader) = lease::elect(client.clone(), config, clock, random);
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let mut election = JoinSet::new();
    election.spawn(elector.run(async {
        let _ = ended.await;
    }));
    let led = async {
        while !leader.leads() {
            sleep(GLANCE).await;
        }
    };
    timeout(LEADS_WITHIN, led).await.map_err(|_| ReleaseError::Led(options.pod_namespace))?;
    let mut kept = Vec::new();
    let mut released = 0;
    for service in services(&client, &options.namespaces).await? {
        let permit = leader.permit(WRITE_TIMEOUT);
        let key = ServiceKey::of_meta(&service);
        let put_back = restore(&key, &client, &permit).await;
        let freed: Result<(), WriteError> = match put_back {
            Ok(()) => remove_finalizer(&client, &service, &permit).await,
            Err(error) => Err(error),
        };
        match freed {
            Ok(()) => released += 1,
            Err(error) => kept.push(format!("{key}: {}", error.message())),
        }
    }
    drop(done);
    // Wait until the lease is released.
    let _ = timeout(TURNS_END_WITHIN, election.join_next()).await;
    if kept.is_empty() { Ok(released) } else { Err(ReleaseError::Kept(kept.join("; "))) }
}

/// The metadata of the services that have the finalizer. Nothing else is read, so that services with a spec that this version
/// can't parse are released too.
async fn services(client: &Client, namespaces: &[String]) -> Result<Vec<ObjectMeta>, kube::Error> {
    let apis: Vec<Api<ScalableService>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        named => named.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let mut found = Vec::new();
    for api in apis {
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = match api.list_metadata(&page).await {
                Ok(list) => list,
                // The CRD is deleted already.
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                Err(error) => return Err(error),
            };
            found.extend(list.items.into_iter().map(|service| service.metadata).filter(has_finalizer));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = ListParams::default().limit(PAGE).continue_token(&token),
                None => break,
            }
        }
    }
    Ok(found)
}
