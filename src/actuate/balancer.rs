//! The objects of a balancer: Deployment, Services, ServiceAccount with minimal permissions, PodDisruptionBudget,
//! NetworkPolicy. Pure, except for [`apply`] and [`remove`].

mod error;
mod maker;
mod pod;
mod policy;
mod replicas;
mod settings;
mod setup;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};

use self::maker::Maker;
pub use self::{
    error::BalancerError,
    maker::{AGENT_PORT, Backend, GATE_PORT},
    setup::{Images, NetworkRules, Setup},
};
use super::owned;
use crate::{field_managers, fingerprint::fingerprint, lease::Permit};
use plimsoll_api::{ScalableService, balancer_name, endpoints_name};

/// Annotation of the Deployment, which is applied last: hash of all applied objects.
pub const HASH: &str = "plimsoll.dev/objects-hash";
/// Annotation of the Deployment: the generation of the ScalableService that the objects were applied from.
pub const GENERATION: &str = "plimsoll.dev/applied-generation";

/// The objects of one balancer, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    objects: Vec<(ApiResource, DynamicObject)>,
    hash: String,
}

impl Objects {
    /// Hash of all objects; the Deployment has it in its annotation [`HASH`].
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether `deployment` was applied from the same objects.
    #[must_use]
    pub fn are_applied(&self, deployment: &Deployment) -> bool {
        deployment.annotations().get(HASH) == Some(&self.hash)
    }

    /// The objects.
    pub fn iter(&self) -> impl Iterator<Item = &DynamicObject> {
        self.objects.iter().map(|(_, object)| object)
    }
}

/// The objects of the balancer of `service` in front of `backend`.
///
/// # Errors
/// The service can't have a balancer.
pub fn objects(
    service: &ScalableService,
    setup: &Setup,
    backend: &Backend,
) -> Result<Objects, BalancerError> {
    let maker = Maker::of(service, setup, backend)?;
    maker.check()?;
    let mut objects = vec![
        dynamic(&maker.endpoints())?,
        dynamic(&maker.account())?,
        dynamic(&maker.role())?,
        dynamic(&maker.binding())?,
        dynamic(&maker.front())?,
        dynamic(&maker.budget())?,
    ];
    if let Some(policy) = maker.network_policy() {
        objects.push(dynamic(&policy)?);
    }
    objects.push(dynamic(&maker.deployment())?);
    let mut text = String::new();
    for (_, object) in &objects {
        text += &serde_json::to_string(object)?;
    }
    let hash = fingerprint(&text);
    if let Some((_, deployment)) = objects.last_mut() {
        let annotations = deployment.annotations_mut();
        annotations.insert(HASH.to_owned(), hash.clone());
        // Not part of the hash: most changes of a spec do not concern the balancers' objects.
        if let Some(generation) = service.metadata.generation {
            annotations.insert(GENERATION.to_owned(), generation.to_string());
        }
    }
    Ok(Objects { objects, hash })
}

/// Applies all objects by server-side apply, the Deployment last. Objects of other owners are not touched. Returns the
/// Deployment's generation after that: a later one means that another client changed it.
///
/// # Errors
/// An object belongs to another owner, or a write failed.
pub async fn apply(client: &Client, objects: &Objects, permit: &Permit) -> Result<i64, BalancerError> {
    let mut generation = None;
    let params = PatchParams::apply(field_managers::BALANCER).force();
    for (resource, object) in &objects.objects {
        let (kind, name) = (resource.kind.clone(), object.name_any());
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, resource);
        let failed = |error| BalancerError::Write { kind: kind.clone(), name: name.clone(), error };
        let there = permit.read(api.get_metadata_opt(&name)).await.map_err(failed)?;
        let owner = |object: &[OwnerReference]| object.first().map(|owner| owner.uid.clone());
        if there
            .as_ref()
            .is_some_and(|there| owner(there.owner_references()) != owner(object.owner_references()))
        {
            return Err(BalancerError::Taken { kind, name });
        }
        let object = replicas::settle(&api, object, there.as_ref(), permit).await.map_err(failed)?;
        let applied = permit.write(api.patch(&name, &params, &Patch::Apply(object))).await.map_err(failed)?;
        generation = applied.metadata.generation;
    }
    Ok(generation.unwrap_or_default())
}

/// Deletes the objects that [`apply`] created for `service`, and no objects of other owners. The Deployment is deleted last:
/// it is watched, so an interrupted removal is continued while it exists.
///
/// # Errors
/// A write failed.
pub async fn remove(
    client: &Client,
    service: &ScalableService,
    setup: Option<&Setup>,
    permit: &Permit,
) -> Result<(), BalancerError> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let (balancer, endpoints) = (balancer_name(&name), endpoints_name(&name));
    let policies = setup.is_some_and(|setup| setup.network_policy.is_some());
    let policy = policies.then(|| (ApiResource::erase::<NetworkPolicy>(&()), &balancer));
    for (resource, name) in [
        (ApiResource::erase::<PodDisruptionBudget>(&()), &balancer),
        (ApiResource::erase::<Service>(&()), &balancer),
        (ApiResource::erase::<RoleBinding>(&()), &balancer),
        (ApiResource::erase::<Role>(&()), &balancer),
        (ApiResource::erase::<ServiceAccount>(&()), &balancer),
        (ApiResource::erase::<Service>(&()), &endpoints),
    ]
    .into_iter()
    .chain(policy)
    .chain([(ApiResource::erase::<Deployment>(&()), &balancer)])
    {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let failed = |error| BalancerError::Write { kind: resource.kind.clone(), name: name.clone(), error };
        let Some(there) = permit.read(api.get_metadata_opt(name)).await.map_err(failed)? else { continue };
        if owned::belongs_to(&there, service) {
            owned::delete(&api, &there, permit).await.map_err(failed)?;
        }
    }
    Ok(())
}

fn dynamic<K>(object: &K) -> Result<(ApiResource, DynamicObject), serde_json::Error>
where
    K: Resource<DynamicType = ()> + serde::Serialize,
{
    let object: DynamicObject = serde_json::from_value(serde_json::to_value(object)?)?;
    Ok((ApiResource::erase::<K>(&()), object))
}

#[cfg(test)]
mod tests;
