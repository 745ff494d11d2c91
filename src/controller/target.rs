//! Resolves `scaleTargetRef` to a workload: built-in kinds from the watches, all others by their scale subresource.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    core::{Expression, Selector},
    discovery::{Scope, pinned_kind},
};
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::index::{Front, Owner, SharedIndex, Target, TargetIndex, Workload, read};
use crate::actuate::{FoundScale, message_of};
use plimsoll_api::{ConditionCode, DecisionCode, ReasonCode, ScaleTargetRef};

/// Why a target can't be scaled.
#[derive(Debug, Error)]
pub enum TargetError {
    /// There is no such object.
    #[error("{kind} {name} does not exist in namespace {namespace}")]
    NotFound {
        /// Kind, as it was written.
        kind: String,
        /// Its name.
        name: String,
        /// The namespace of the ScalableService.
        namespace: String,
    },
    /// The API server does not serve the kind.
    #[error("scaleTargetRef is {api_version} {kind}, which the API server does not serve: {error}")]
    NotServed {
        /// Group and version, as they were written.
        api_version: String,
        /// Kind, as it was written.
        kind: String,
        /// The error of the API server.
        error: String,
    },
    /// The kind has no namespace.
    #[error(
        "scaleTargetRef is {kind}, which is cluster-scoped; it must be in the ScalableService's namespace"
    )]
    NotNamespaced {
        /// Kind, as it was written.
        kind: String,
    },
    /// The kind has no scale subresource.
    #[error("{kind} {name} has no scale subresource")]
    NotScalable {
        /// Kind, as it was written.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The scale could not be read.
    #[error("the scale of {kind} {name} can't be read: {error}")]
    Unreadable {
        /// Kind, as it was written.
        kind: String,
        /// Its name.
        name: String,
        /// The error of the API server.
        error: String,
    },
}

impl TargetError {
    /// The reason for conditions and metrics.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::NotFound { .. } => ConditionCode::TargetNotFound.into(),
            Self::NotServed { .. } | Self::NotNamespaced { .. } | Self::NotScalable { .. } => {
                ConditionCode::TargetNotScalable.into()
            }
            Self::Unreadable { .. } => DecisionCode::ScaleFailed.into(),
        }
    }
}

/// The watches of the built-in kinds.
#[derive(Clone, Default)]
pub struct BuiltIn {
    /// Deployments.
    pub deployments: SharedIndex<TargetIndex>,
    /// StatefulSets.
    pub stateful_sets: SharedIndex<TargetIndex>,
    /// ReplicaSets, which also give a Deployment's current revision.
    pub replica_sets: SharedIndex<TargetIndex>,
}

/// How long the discovery of a kind is cached.
const DISCOVERED_FOR: Duration = Duration::from_secs(60);
/// Time limit for reading the scale of a target, discovery included, after which the failure is reported.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves targets.
pub struct Targets {
    client: Client,
    built_in: BuiltIn,
    discovered: Mutex<HashMap<GroupVersionKind, (ApiResource, Instant)>>,
}

impl Targets {
    /// A resolver over the given watches.
    #[must_use]
    pub fn new(client: Client, built_in: BuiltIn) -> Self {
        Self { client, built_in, discovered: Mutex::default() }
    }

    /// The target with its replicas and selector. Takes at most [`READ_TIMEOUT`].
    pub async fn find(&self, namespace: &str, target: &ScaleTargetRef) -> Result<Target, TargetError> {
        if is_built_in(target) {
            self.watched(namespace, target).ok_or_else(|| not_found(namespace, target))
        } else {
            let late = |_| {
                Err(TargetError::Unreadable {
                    kind: target.kind.clone(),
                    name: target.name.clone(),
                    error: format!("no answer within {} s", READ_TIMEOUT.as_secs()),
                })
            };
            timeout(READ_TIMEOUT, self.by_scale(namespace, target)).await.unwrap_or_else(late)
        }
    }

    /// The target from the watches; `None` if it does not exist or is not of a built-in kind.
    #[must_use]
    pub fn watched(&self, namespace: &str, target: &ScaleTargetRef) -> Option<Target> {
        let index = match (target.api_version.as_str(), target.kind.as_str()) {
            ("apps/v1", "Deployment") => return self.deployment(namespace, &target.name),
            ("apps/v1", "StatefulSet") => &self.built_in.stateful_sets,
            ("apps/v1", "ReplicaSet") => &self.built_in.replica_sets,
            _ => return None,
        };
        read(index, |index| index.get(namespace, &target.name).cloned())
    }

    /// Whether targets of this kind are watched.
    #[must_use]
    pub fn knows(&self, target: &ScaleTargetRef) -> bool {
        is_built_in(target)
    }

    /// Whether the target is of a watched kind and does not exist.
    #[must_use]
    pub fn is_missing(&self, namespace: &str, target: &ScaleTargetRef) -> bool {
        self.knows(target) && self.watched(namespace, target).is_none()
    }

    /// The API of the target's kind.
    pub async fn api(
        &self,
        namespace: &str,
        target: &ScaleTargetRef,
    ) -> Result<Api<DynamicObject>, TargetError> {
        let resource = self.resource(target).await?;
        Ok(Api::namespaced_with(self.client.clone(), namespace, &resource))
    }

    /// The balancers' Deployment, if `workload` is one.
    #[must_use]
    pub fn front(&self, workload: &Workload) -> Option<Front> {
        let Workload { kind, namespace, name } = workload;
        let of = |index: &TargetIndex| index.front(namespace, name).cloned();
        if kind == "Deployment" { read(&self.built_in.deployments, of) } else { None }
    }

    fn deployment(&self, namespace: &str, name: &str) -> Option<Target> {
        let mut target = read(&self.built_in.deployments, |index| index.get(namespace, name).cloned())?;
        if let Some(uid) = target.uid.clone() {
            target.owner = Owner::Deployment { uid, sets: self.built_in.replica_sets.clone() };
        }
        target.revision = read(&self.built_in.replica_sets, |index| {
            index.newest_hash(namespace, name).map(|hash| ("pod-template-hash".to_owned(), hash.to_owned()))
        });
        Some(target)
    }

    async fn by_scale(&self, namespace: &str, target: &ScaleTargetRef) -> Result<Target, TargetError> {
        let api = self.api(namespace, target).await?;
        let (kind, name) = (target.kind.clone(), target.name.clone());
        let scale = match api.get_scale(&name).await {
            Ok(scale) => scale,
            Err(kube::Error::Api(status)) if status.code == 404 => {
                // The answer is 404 for a missing object and for a missing subresource; read the object to distinguish them.
                return Err(match api.get_metadata_opt(&name).await {
                    Ok(Some(_)) => TargetError::NotScalable { kind, name },
                    Ok(None) => not_found(namespace, target),
                    Err(error) => TargetError::Unreadable { kind, name, error: message_of(&error) },
                });
            }
            Err(error) => return Err(TargetError::Unreadable { kind, name, error: message_of(&error) }),
        };
        let FoundScale { uid, version, replicas } = FoundScale::from(&scale);
        let status = scale.status.unwrap_or_default();
        let selector =
            status.selector.as_deref().and_then(parse_selector).filter(|selector| !selector.selects_all());
        let (ready, owner, revision, priority_class) = (status.replicas, Owner::Any, None, None);
        Ok(Target { uid, version, replicas, ready, selector, owner, revision, priority_class })
    }

    async fn resource(&self, target: &ScaleTargetRef) -> Result<ApiResource, TargetError> {
        let (group, version) = target.api_version.rsplit_once('/').unwrap_or(("", &target.api_version));
        let kind = GroupVersionKind::gvk(group, version, &target.kind);
        if is_built_in(target) {
            return Ok(ApiResource::from_gvk(&kind));
        }
        let known = self.discovered.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned();
        if let Some((resource, _)) = known.filter(|(_, at)| at.elapsed() < DISCOVERED_FOR) {
            return Ok(resource);
        }
        let (resource, capabilities) =
            pinned_kind(&self.client, &kind).await.map_err(|error| undiscovered(target, &error))?;
        if capabilities.scope == Scope::Cluster {
            return Err(TargetError::NotNamespaced { kind: target.kind.clone() });
        }
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        discovered.insert(kind, (resource.clone(), Instant::now()));
        Ok(resource)
    }
}

fn is_built_in(target: &ScaleTargetRef) -> bool {
    target.api_version == "apps/v1"
        && matches!(target.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet")
}

/// Why the kind of a target could not be discovered. It counts as not served only if the API server answered so.
fn undiscovered(target: &ScaleTargetRef, error: &kube::Error) -> TargetError {
    let ScaleTargetRef { api_version, kind, name } = target.clone();
    let missing = is_missing_kind(error);
    let error = message_of(error);
    if missing {
        TargetError::NotServed { api_version, kind, error }
    } else {
        TargetError::Unreadable { kind, name, error }
    }
}

/// Whether the API server answered that it does not serve a kind.
pub(super) fn is_missing_kind(error: &kube::Error) -> bool {
    match error {
        kube::Error::Discovery(_) => true,
        kube::Error::Api(status) => status.code == 404,
        _ => false,
    }
}

fn not_found(namespace: &str, target: &ScaleTargetRef) -> TargetError {
    TargetError::NotFound {
        kind: target.kind.clone(),
        name: target.name.clone(),
        namespace: namespace.to_owned(),
    }
}

/// Parses a selector in the format of `/scale`: `a=b,c in (d,e),!f`. `None` if it is invalid.
pub(super) fn parse_selector(text: &str) -> Option<Selector> {
    let mut depth = 0;
    let terms = text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    terms.map(str::trim).filter(|term| !term.is_empty()).map(parse_term).collect()
}

fn parse_term(term: &str) -> Option<Expression> {
    let values = |list: &str| {
        let inner = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some((key, list)) = term.split_once(" notin ") {
        return Some(Expression::NotIn(key.trim().to_owned(), values(list)?));
    }
    if let Some((key, list)) = term.split_once(" in ") {
        return Some(Expression::In(key.trim().to_owned(), values(list)?));
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Some(Expression::NotEqual(key.trim().to_owned(), value.trim().to_owned()));
    }
    if let Some((key, value)) = term.split_once('=') {
        return Some(Expression::Equal(
            key.trim().to_owned(),
            value.trim_start_matches('=').trim().to_owned(),
        ));
    }
    Some(match term.strip_prefix('!') {
        Some(key) => Expression::DoesNotExist(key.trim().to_owned()),
        None => Expression::Exists(term.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use kube::core::SelectorExt;

    use super::parse_selector;

    #[test]
    fn selectors_in_the_format_of_the_scale_subresource_are_parsed() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        for (text, matches, refuses) in [
            ("app=shop", vec![("app", "shop")], vec![("app", "bank")]),
            (
                "app=shop,tier in (a,b)",
                vec![("app", "shop"), ("tier", "b")],
                vec![("app", "shop"), ("tier", "c")],
            ),
            ("tier notin (a),!old", vec![("tier", "b")], vec![("tier", "b"), ("old", "x")]),
            ("app!=shop,live", vec![("live", "")], vec![("app", "shop"), ("live", "")]),
        ] {
            let selector = parse_selector(text).unwrap();
            assert!(selector.matches(&labels(&matches)), "{text}");
            assert!(!selector.matches(&labels(&refuses)), "{text}");
        }
        assert!(parse_selector("tier in a").is_none());
    }
}
