//! Deployments, StatefulSets and ReplicaSets: replicas, selector and current revision.

use std::collections::HashMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::core::Selector;

use super::{
    follow::{Follow, Workload},
    fronts::Front,
    owner::{Owner, ReplicaSets, Selected},
};

/// A workload with a scale.
#[derive(Clone, Debug)]
pub struct Target {
    /// UID of the object; `None` if it is missing.
    pub uid: Option<String>,
    /// Resource version of the object.
    pub version: Option<String>,
    /// Desired replicas (`spec.replicas`).
    pub replicas: i32,
    /// Ready replicas by its status, for targets whose pods can't be selected.
    pub ready: i32,
    /// Selector of its pods, in addition to `owner`; `None` if the scale subresource has none.
    pub selector: Option<Selector>,
    /// The required owner of its pods.
    pub owner: Owner,
    /// Label and value of pods of the current revision, if known.
    pub revision: Option<(String, String)>,
    /// The priority class in its pod template, if there is one.
    pub priority_class: Option<String>,
}

impl Target {
    /// Its pods; `None` if they can't be selected.
    #[must_use]
    pub fn selected(&self) -> Option<Selected<'_>> {
        Some(Selected { selector: self.selector.as_ref()?, owner: &self.owner })
    }
}

/// Workloads of one kind.
#[derive(Debug, Default)]
pub struct TargetIndex {
    targets: HashMap<(String, String), Target>,
    /// ReplicaSets only: revision and hash of the newest one, by the Deployment's namespace and name.
    newest: HashMap<(String, String), (i64, String)>,
    /// ReplicaSets only: the UID of the owning Deployment, if any, by the ReplicaSet's UID.
    deployments: HashMap<String, Option<String>>,
    /// Deployments of balancers only.
    fronts: HashMap<(String, String), Front>,
}

impl TargetIndex {
    /// The workload of that name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Target> {
        self.targets.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The `pod-template-hash` of a Deployment's newest ReplicaSet.
    #[must_use]
    pub fn newest_hash(&self, namespace: &str, deployment: &str) -> Option<&str> {
        self.newest.get(&(namespace.to_owned(), deployment.to_owned())).map(|(_, hash)| hash.as_str())
    }

    /// The balancers' Deployment of that name, if it is one.
    #[must_use]
    pub fn front(&self, namespace: &str, deployment: &str) -> Option<&Front> {
        self.fronts.get(&(namespace.to_owned(), deployment.to_owned()))
    }

    fn put(&mut self, kind: &str, meta: &ObjectMeta, target: Target) -> Option<Workload> {
        let key = key(meta);
        self.targets.insert(key.clone(), target);
        Some(workload(kind, key))
    }

    fn remove(&mut self, kind: &str, meta: &ObjectMeta) -> Option<Workload> {
        let key = key(meta);
        self.targets.remove(&key);
        Some(workload(kind, key))
    }
}

impl ReplicaSets for TargetIndex {
    fn deployment_of(&self, replica_set: &str) -> Option<Option<&str>> {
        self.deployments.get(replica_set).map(Option::as_deref)
    }
}

fn key(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn workload(kind: &str, (namespace, name): (String, String)) -> Workload {
    Workload { kind: kind.to_owned(), namespace, name }
}

/// A target from the common fields of the built-in kinds, with Kubernetes' defaults.
fn target(
    meta: &ObjectMeta,
    (replicas, ready): (Option<i32>, Option<i32>),
    selector: LabelSelector,
    template: Option<PodTemplateSpec>,
) -> Target {
    Target {
        uid: meta.uid.clone(),
        version: meta.resource_version.clone(),
        replicas: replicas.unwrap_or(1),
        ready: ready.unwrap_or(0),
        selector: Selector::try_from(selector).ok().filter(|selector| !selector.selects_all()),
        owner: meta.uid.clone().map_or(Owner::Any, Owner::Itself),
        revision: None,
        priority_class: template
            .and_then(|template| template.spec?.priority_class_name)
            .filter(|class| !class.is_empty()),
    }
}

impl Follow<Deployment> for TargetIndex {
    fn apply(&mut self, object: Deployment) -> Option<Workload> {
        if let Some(front) = Front::of(&object) {
            self.fronts.insert(key(&object.metadata), front);
        }
        let spec = object.spec.unwrap_or_default();
        let ready = object.status.and_then(|status| status.ready_replicas);
        let numbers = (spec.replicas, ready);
        let target = target(&object.metadata, numbers, spec.selector, Some(spec.template));
        self.put("Deployment", &object.metadata, target)
    }

    fn delete(&mut self, object: &Deployment) -> Option<Workload> {
        self.fronts.remove(&key(&object.metadata));
        self.remove("Deployment", &object.metadata)
    }
}

impl Follow<StatefulSet> for TargetIndex {
    fn apply(&mut self, object: StatefulSet) -> Option<Workload> {
        let spec = object.spec.unwrap_or_default();
        let status = object.status.unwrap_or_default();
        let revision = status.update_revision.map(|hash| ("controller-revision-hash".to_owned(), hash));
        let target = Target {
            revision,
            ..target(
                &object.metadata,
                (spec.replicas, status.ready_replicas),
                spec.selector,
                Some(spec.template),
            )
        };
        self.put("StatefulSet", &object.metadata, target)
    }

    fn delete(&mut self, object: &StatefulSet) -> Option<Workload> {
        self.remove("StatefulSet", &object.metadata)
    }
}

impl Follow<ReplicaSet> for TargetIndex {
    fn apply(&mut self, object: ReplicaSet) -> Option<Workload> {
        if let Some(uid) = &object.metadata.uid {
            self.deployments.insert(uid.clone(), deployment_uid(&object.metadata));
        }
        if let Some((owner, revision, hash)) = of_deployment(&object.metadata) {
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            let newest = self.newest.entry((namespace, owner)).or_insert_with(|| (revision, hash.clone()));
            if newest.0 <= revision {
                *newest = (revision, hash);
            }
            return None;
        }
        let spec = object.spec.unwrap_or_default();
        let ready = object.status.and_then(|status| status.ready_replicas);
        let target = target(&object.metadata, (spec.replicas, ready), spec.selector, spec.template);
        self.put("ReplicaSet", &object.metadata, target)
    }

    fn delete(&mut self, object: &ReplicaSet) -> Option<Workload> {
        if let Some(uid) = &object.metadata.uid {
            self.deployments.remove(uid);
        }
        if let Some((owner, revision, _)) = of_deployment(&object.metadata) {
            let key = (object.metadata.namespace.clone().unwrap_or_default(), owner);
            if self.newest.get(&key).is_some_and(|(newest, _)| *newest <= revision) {
                self.newest.remove(&key);
            }
            return None;
        }
        self.remove("ReplicaSet", &object.metadata)
    }
}

/// UID of the Deployment that owns a ReplicaSet.
fn deployment_uid(meta: &ObjectMeta) -> Option<String> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.kind == "Deployment").map(|owner| owner.uid.clone())
}

/// The Deployment that owns a ReplicaSet, its revision number and its pods' hash.
fn of_deployment(meta: &ObjectMeta) -> Option<(String, i64, String)> {
    let owner = meta.owner_references.as_ref()?.iter().find(|owner| owner.kind == "Deployment")?;
    let revision = meta.annotations.as_ref()?.get("deployment.kubernetes.io/revision")?.parse().ok()?;
    let hash = meta.labels.as_ref()?.get("pod-template-hash")?.clone();
    Some((owner.name.clone(), revision, hash))
}
