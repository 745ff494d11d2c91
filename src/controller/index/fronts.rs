//! Deployments of balancers: the source of their last apply, and the progress of their rollout.

use k8s_openapi::api::apps::v1::Deployment;

use crate::actuate::balancer;
use plimsoll_api::BALANCER_LABEL;

/// A Deployment of balancers, from the watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// The ScalableService that it belongs to.
    pub service: String,
    /// Hash of the applied objects.
    pub hash: Option<String>,
    /// The generation of the ScalableService that its objects were applied from.
    pub applied_generation: Option<i64>,
    /// Its generation, which increases with each change of its spec.
    pub generation: i64,
    /// `spec.replicas`.
    pub replicas: i32,
    /// The priority class of its pods.
    pub priority_class: Option<String>,
    /// Progress of its rollout.
    pub rollout: Rollout,
}

/// The progress of a Deployment's rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods of the newest revision.
    pub updated: i32,
    /// Pods that have been ready for `minReadySeconds`.
    pub available: i32,
    /// Whether all pods are of the newest revision and available, as for `kubectl rollout status`.
    pub is_complete: bool,
}

impl Front {
    /// `None` if the Deployment does not run balancers.
    #[must_use]
    pub fn of(deployment: &Deployment) -> Option<Self> {
        let meta = &deployment.metadata;
        let service = meta.labels.as_ref()?.get(BALANCER_LABEL)?.clone();
        let annotation = |name: &str| meta.annotations.as_ref()?.get(name).cloned();
        let spec = deployment.spec.as_ref();
        let template = spec.and_then(|spec| spec.template.spec.as_ref());
        Some(Self {
            service,
            hash: annotation(balancer::HASH),
            applied_generation: annotation(balancer::GENERATION).and_then(|text| text.parse().ok()),
            generation: meta.generation.unwrap_or_default(),
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            priority_class: template.and_then(|pod| pod.priority_class_name.clone()),
            rollout: Rollout::of(deployment),
        })
    }
}

impl Rollout {
    fn of(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let Some(status) = &deployment.status else { return Self::default() };
        let updated = status.updated_replicas.unwrap_or_default();
        let available = status.available_replicas.unwrap_or_default();
        let is_complete = status.observed_generation >= deployment.metadata.generation
            && updated >= wanted
            && status.replicas.unwrap_or_default() <= updated
            && available >= updated;
        Self { updated, available, is_complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_complete_once_its_generation_is_observed_and_all_pods_are_new_and_available() {
        let complete = |observed: i64, replicas: i32, updated: i32, available: i32| {
            let deployment: Deployment = serde_json::from_value(serde_json::json!({
                "metadata": {"name": "web-lb", "generation": 7, "labels": {BALANCER_LABEL: "web"}},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
                    "availableReplicas": available},
            }))
            .unwrap();
            Front::of(&deployment).unwrap().rollout.is_complete
        };
        assert!(complete(7, 2, 2, 2));
        assert!(!complete(6, 2, 2, 2), "the controller has not observed the change yet");
        assert!(!complete(7, 3, 1, 2), "one is new");
        assert!(!complete(7, 3, 2, 3), "an old one is left");
        assert!(!complete(7, 2, 2, 1), "one is not available");
    }
}
