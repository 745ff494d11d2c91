//! Which pods belong to a target. Labels alone do not tell, since pods of other workloads may have the same ones.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Selector;

use super::follow::{SharedIndex, read};

/// The controller of an object, by its owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedBy {
    kind: Box<str>,
    uid: Box<str>,
}

impl OwnedBy {
    /// The controller that the object names.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let mut owners = meta.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true))?;
        Some(Self { kind: owner.kind.as_str().into(), uid: owner.uid.as_str().into() })
    }
}

/// Which Deployments the ReplicaSets belong to.
pub trait ReplicaSets: fmt::Debug + Send + Sync {
    /// The Deployment (UID) that the ReplicaSet with this UID belongs to, if to one; `None` if there is no such ReplicaSet.
    fn deployment_of(&self, replica_set: &str) -> Option<Option<&str>>;
}

/// The object to which a pod must belong to be a target's pod.
#[derive(Clone, Debug)]
pub enum Owner {
    /// Any object or none: how a custom resource owns its pods is not known, and pods may outlive a target.
    Any,
    /// The StatefulSet or ReplicaSet with this UID.
    Itself(String),
    /// A ReplicaSet of the Deployment with this UID.
    Deployment {
        /// UID of the Deployment.
        uid: String,
        /// All ReplicaSets.
        sets: SharedIndex<dyn ReplicaSets>,
    },
}

impl Owner {
    /// Whether a pod with this controller is the target's. A ReplicaSet that the watch has yet to show is taken for the
    /// Deployment's: a rollout must not look like a loss of replicas.
    pub fn owns(&self, pod: Option<&OwnedBy>) -> bool {
        match (self, pod) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Itself(uid), Some(owner)) => *owner.uid == **uid,
            (Self::Deployment { uid, sets }, Some(owner)) => {
                let known = read(sets, |sets| {
                    sets.deployment_of(&owner.uid).map(|deployment| deployment == Some(uid.as_str()))
                });
                &*owner.kind == "ReplicaSet" && known.unwrap_or(true)
            }
        }
    }
}

/// The pods of a target: those that its selector selects and that belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// Its selector.
    pub selector: &'a Selector,
    /// The object to which they must belong.
    pub owner: &'a Owner,
}
