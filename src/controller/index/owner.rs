//! Ownership of pods. Labels are not sufficient, since pods of other workloads may have the same ones.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Selector;

use super::follow::{SharedIndex, read};

/// The controller of an object, from its owner references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedBy {
    kind: Box<str>,
    uid: Box<str>,
}

impl OwnedBy {
    /// The controller in the object's owner references, if there is one.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let mut owners = meta.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true))?;
        Some(Self { kind: owner.kind.as_str().into(), uid: owner.uid.as_str().into() })
    }
}

/// Maps ReplicaSets to Deployments.
pub trait ReplicaSets: fmt::Debug + Send + Sync {
    /// The UID of the Deployment that owns the ReplicaSet with this UID, if any; `None` if the ReplicaSet is unknown.
    fn deployment_of(&self, replica_set: &str) -> Option<Option<&str>>;
}

/// The required owner of a target's pods.
#[derive(Clone, Debug)]
pub enum Owner {
    /// Any object or none: ownership of pods is unknown for custom resources, and pods may outlive a target.
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
    /// Whether a pod with this controller belongs to the target. A ReplicaSet that the watch does not show yet counts as the
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

/// The pods of a target: selected by its selector, and owned by it.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// Its selector.
    pub selector: &'a Selector,
    /// Their required owner.
    pub owner: &'a Owner,
}
