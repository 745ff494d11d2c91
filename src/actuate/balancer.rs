//! The objects of a balancer: Deployment, Services, ServiceAccount with the least rights, PodDisruptionBudget. Pure but
//! for [`apply`] and [`remove`].

mod pod;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec},
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
        rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use thiserror::Error;

use super::said;
use crate::{
    api::{BALANCER_LABEL, GROUP, ScalableService, Traffic},
    balancer::{LOW_PORTS_UP, haproxy::METRICS_PORT},
};
pub use pod::{AGENT_PORT, GATE_PORT};

/// Owner of every field in `managedFields`.
const FIELD_MANAGER: &str = "plimsoll-balancer";
/// On the Deployment, which is applied last: stands for all objects as they were applied.
pub const HASH: &str = "plimsoll.dev/objects-hash";
/// The longest name of a ScalableService with `spec.traffic`: `NAME-endpoints` is the name of a Service.
const NAME_MAX: usize = 63 - "-endpoints".len();

/// Images of a balancer's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Has the static program `plimsoll` as its entry point.
    pub agent: String,
    /// Has `haproxy` in its PATH.
    pub haproxy: String,
}

/// The objects of one balancer, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    objects: Vec<(ApiResource, DynamicObject)>,
    hash: String,
}

impl Objects {
    /// Stands for all of them; the Deployment has it in its annotation [`HASH`].
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether `deployment` was applied from the same.
    #[must_use]
    pub fn are_applied(&self, deployment: &Deployment) -> bool {
        deployment.annotations().get(HASH) == Some(&self.hash)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &DynamicObject> {
        self.objects.iter().map(|(_, object)| object)
    }
}

/// Why there can't be a balancer.
#[derive(Debug, Error)]
pub enum BalancerError {
    /// No `spec.traffic`.
    #[error("there is no spec.traffic")]
    NoTraffic,
    /// A Service can't be named after it.
    #[error(
        "metadata.name {0:?} can't have a spec.traffic: its Services are named after it, so it must begin with a letter \
         and have at most {NAME_MAX} letters, digits and -"
    )]
    Name(String),
    /// Nothing would be selected, or everything.
    #[error("the target's selector has no label with a value, which traffic needs to find the pods")]
    NoSelector,
    /// A port of the balancer's pod has another use.
    #[error(
        "traffic.listeners {port} is not possible: the balancer's pods use port {inside} for something else; take another"
    )]
    Port {
        /// As in the spec.
        port: i32,
        /// The pod's.
        inside: i32,
    },
    /// A name is taken.
    #[error("the {kind} {name} is there and does not belong to this ScalableService; rename one of them")]
    Taken {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server refused, or did not answer.
    #[error("the {kind} {name} can't be written: {}", said(.error))]
    Api {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        error: Box<kube::Error>,
    },
    /// An object is no JSON, which can't be.
    #[error("an object of the balancer can't be written down: {0}")]
    Json(#[from] serde_json::Error),
}

/// Name of the headless Service whose EndpointSlices the agents follow.
#[must_use]
pub fn endpoints_name(service: &str) -> String {
    format!("{service}-endpoints")
}

/// Name of the balancer: of its Deployment, of the Service in front of it, and of all that is for its pods.
#[must_use]
pub fn balancer_name(service: &str) -> String {
    format!("{service}-lb")
}

/// The objects for `service`, whose target has the labels `selector`.
///
/// # Errors
/// There can't be a balancer for it.
pub fn objects(
    service: &ScalableService,
    images: &Images,
    selector: &BTreeMap<String, String>,
) -> Result<Objects, BalancerError> {
    let traffic = service.spec.traffic.as_ref().ok_or(BalancerError::NoTraffic)?;
    let maker = Maker { service, traffic, name: balancer_name(&service.name_any()) };
    maker.check(selector)?;
    let mut objects = vec![
        dynamic(&maker.endpoints(selector))?,
        dynamic(&maker.account())?,
        dynamic(&maker.role())?,
        dynamic(&maker.binding())?,
        dynamic(&maker.front())?,
        dynamic(&maker.budget())?,
        dynamic(&maker.deployment(images))?,
    ];
    let mut text = String::new();
    for (_, object) in &objects {
        text += &serde_json::to_string(object)?;
    }
    let hash = fingerprint(&text);
    if let Some((_, deployment)) = objects.last_mut() {
        deployment.annotations_mut().insert(HASH.to_owned(), hash.clone());
    }
    Ok(Objects { objects, hash })
}

/// Applies them all by server-side apply, the Deployment last. Nothing that belongs to somebody else is touched.
///
/// # Errors
/// One of them is somebody else's, or the API server refuses or does not answer.
pub async fn apply(client: &Client, objects: &Objects) -> Result<(), BalancerError> {
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for (resource, object) in &objects.objects {
        let (kind, name) = (resource.kind.clone(), object.name_any());
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, resource);
        let failed =
            |error| BalancerError::Api { kind: kind.clone(), name: name.clone(), error: Box::new(error) };
        let there = api.get_metadata_opt(&name).await.map_err(failed)?;
        let owner = |object: &[OwnerReference]| object.first().map(|owner| owner.uid.clone());
        if there.is_some_and(|there| owner(there.owner_references()) != owner(object.owner_references())) {
            return Err(BalancerError::Taken { kind, name });
        }
        api.patch(&name, &params, &Patch::Apply(object)).await.map_err(failed)?;
    }
    Ok(())
}

/// Deletes what [`apply`] made for `service`, the Deployment first, and nothing that belongs to somebody else.
///
/// # Errors
/// The API server refuses or does not answer.
pub async fn remove(client: &Client, service: &ScalableService) -> Result<(), BalancerError> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let (balancer, endpoints) = (balancer_name(&name), endpoints_name(&name));
    for (resource, name) in [
        (ApiResource::erase::<Deployment>(&()), &balancer),
        (ApiResource::erase::<PodDisruptionBudget>(&()), &balancer),
        (ApiResource::erase::<Service>(&()), &balancer),
        (ApiResource::erase::<RoleBinding>(&()), &balancer),
        (ApiResource::erase::<Role>(&()), &balancer),
        (ApiResource::erase::<ServiceAccount>(&()), &balancer),
        (ApiResource::erase::<Service>(&()), &endpoints),
    ] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let failed = |error| BalancerError::Api {
            kind: resource.kind.clone(),
            name: name.clone(),
            error: Box::new(error),
        };
        let Some(there) = api.get_metadata_opt(name).await.map_err(failed)? else { continue };
        if !there.owner_references().iter().any(|owner| Some(&owner.uid) == service.metadata.uid.as_ref()) {
            continue;
        }
        let only_this = Preconditions { uid: there.metadata.uid.clone(), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::background() };
        match api.delete(name, &params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => other.map(drop).map_err(failed)?,
        }
    }
    Ok(())
}

/// Makes the objects of one service.
struct Maker<'a> {
    service: &'a ScalableService,
    traffic: &'a Traffic,
    /// Of the balancer.
    name: String,
}

impl Maker<'_> {
    fn check(&self, selector: &BTreeMap<String, String>) -> Result<(), BalancerError> {
        let name = self.service.name_any();
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        let is_label = name.starts_with(|char: char| char.is_ascii_lowercase())
            && name.len() <= NAME_MAX
            && name.chars().all(fits);
        if !is_label {
            return Err(BalancerError::Name(name));
        }
        if selector.is_empty() {
            return Err(BalancerError::NoSelector);
        }
        let mut used: Vec<i32> = [METRICS_PORT, AGENT_PORT, GATE_PORT].map(i32::from).to_vec();
        for listener in &self.traffic.listeners {
            let inside = inside(listener.port);
            if used.contains(&inside) || inside > i32::from(u16::MAX) {
                return Err(BalancerError::Port { port: listener.port, inside });
            }
            used.push(inside);
        }
        Ok(())
    }

    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (BALANCER_LABEL.to_owned(), self.service.name_any()),
            ("app.kubernetes.io/managed-by".to_owned(), "plimsoll".to_owned()),
            ("app.kubernetes.io/name".to_owned(), "haproxy".to_owned()),
            ("app.kubernetes.io/instance".to_owned(), self.name.clone()),
        ])
    }

    /// What the balancer's pods are selected by.
    fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(BALANCER_LABEL.to_owned(), self.service.name_any())])
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        let owner = OwnerReference {
            api_version: ScalableService::api_version(&()).into_owned(),
            kind: ScalableService::kind(&()).into_owned(),
            name: self.service.name_any(),
            uid: self.service.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            // With it the operator would need the right to write finalizers, for nothing.
            block_owner_deletion: None,
        };
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.service.namespace(),
            labels: Some(self.labels()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        }
    }

    fn endpoints(&self, selector: &BTreeMap<String, String>) -> Service {
        let port = ServicePort {
            name: Some("http".to_owned()),
            port: self.traffic.target_port,
            target_port: Some(IntOrString::Int(self.traffic.target_port)),
            protocol: Some("TCP".to_owned()),
            ..ServicePort::default()
        };
        Service {
            metadata: self.metadata(&endpoints_name(&self.service.name_any())),
            spec: Some(ServiceSpec {
                cluster_ip: Some("None".to_owned()),
                selector: Some(selector.clone()),
                ports: Some(vec![port]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    fn front(&self) -> Service {
        let type_: &'static str = self.traffic.service.type_.into();
        let ports = self.traffic.listeners.iter().map(|listener| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            ServicePort {
                name: Some(format!("{scheme}-{}", listener.port)),
                app_protocol: Some(scheme.to_owned()),
                port: listener.port,
                target_port: Some(IntOrString::Int(inside(listener.port))),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }
        });
        let mut metadata = self.metadata(&self.name);
        metadata.annotations =
            Some(self.traffic.service.annotations.clone()).filter(|annotations| !annotations.is_empty());
        Service {
            metadata,
            spec: Some(ServiceSpec {
                type_: Some(type_.to_owned()),
                selector: Some(self.selector()),
                ports: Some(ports.collect()),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    fn account(&self) -> ServiceAccount {
        ServiceAccount {
            metadata: self.metadata(&self.name),
            // The agent alone gets a token, by its own volume.
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        }
    }

    fn role(&self) -> Role {
        let rule = |group: &str, resource: &str, names: Option<String>, verbs: &[&str]| PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            resource_names: names.map(|name| vec![name]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        let name = self.service.name_any();
        let rules = vec![
            rule("discovery.k8s.io", "endpointslices", None, &["get", "list", "watch"]),
            rule(GROUP, "scalableservices", Some(name.clone()), &["get", "list", "watch"]),
            rule(GROUP, "scalableservices/status", Some(name), &["patch"]),
        ];
        Role { metadata: self.metadata(&self.name), rules: Some(rules) }
    }

    fn binding(&self) -> RoleBinding {
        let name = self.name.clone();
        RoleBinding {
            metadata: self.metadata(&self.name),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: name.clone(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name,
                namespace: self.service.namespace(),
                api_group: None,
            }]),
        }
    }

    fn budget(&self) -> PodDisruptionBudget {
        PodDisruptionBudget {
            metadata: self.metadata(&self.name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(LabelSelector {
                    match_labels: Some(self.selector()),
                    ..LabelSelector::default()
                }),
                ..PodDisruptionBudgetSpec::default()
            }),
            status: None,
        }
    }

    fn deployment(&self, images: &Images) -> Deployment {
        let rolling = RollingUpdateDeployment {
            max_unavailable: Some(IntOrString::Int(0)),
            max_surge: Some(IntOrString::Int(1)),
        };
        Deployment {
            metadata: self.metadata(&self.name),
            spec: Some(DeploymentSpec {
                replicas: Some(self.traffic.replicas),
                selector: LabelSelector { match_labels: Some(self.selector()), ..LabelSelector::default() },
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(rolling),
                }),
                template: self.pod(images),
                ..DeploymentSpec::default()
            }),
            status: None,
        }
    }

    /// How long a balancer may take to end: until nobody connects any more, then as long as a replica may be drained.
    fn stops_within(&self) -> Duration {
        Duration::from(self.traffic.drain.timeout) + Duration::from_secs(20)
    }
}

/// The port of the pod for a listener: none below 1024, which would take a right.
fn inside(port: i32) -> i32 {
    if port < 1024 { port + i32::from(LOW_PORTS_UP) } else { port }
}

fn dynamic<K>(object: &K) -> Result<(ApiResource, DynamicObject), serde_json::Error>
where
    K: Resource<DynamicType = ()> + serde::Serialize,
{
    let object: DynamicObject = serde_json::from_value(serde_json::to_value(object)?)?;
    Ok((ApiResource::erase::<K>(&()), object))
}

/// FNV-1a, 64 bits: the same in every build, so that an upgrade does not write what did not change.
fn fingerprint(text: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

#[cfg(test)]
mod tests;
