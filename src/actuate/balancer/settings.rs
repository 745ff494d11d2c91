//! Settings of a balancer's pod from `spec.traffic.pod` and `spec.traffic.container`, over the operator's defaults. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, LocalObjectReference, PodSecurityContext, ResourceRequirements, SeccompProfile, Toleration,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{maker::Maker, pod::resources};
use plimsoll_api::{BalancerPod, ContainerResources};

/// A user ID without a name in any image; it is the only user of the pod's files and sockets.
const USER: i64 = 65_532;

type Text = BTreeMap<String, String>;

impl Maker<'_> {
    /// A field of the spec, or else of the operator's configuration.
    fn given<T: Clone>(&self, field: impl Fn(&BalancerPod) -> &Option<T>) -> Option<T> {
        let own = self.traffic.pod.as_ref().and_then(|pod| field(pod).as_ref());
        own.or(field(&self.setup.pod).as_ref()).cloned()
    }

    /// The configuration's entries, overridden by those of the spec.
    fn merged(&self, field: impl Fn(&BalancerPod) -> &Text) -> Text {
        let own = self.traffic.pod.iter().flat_map(|pod| field(pod).clone());
        field(&self.setup.pod).clone().into_iter().chain(own).collect()
    }

    /// Labels that select the pods can't be overridden.
    pub(super) fn pod_labels(&self) -> Text {
        let mut labels = self.merged(|pod| &pod.labels);
        labels.extend(self.labels());
        labels
    }

    pub(super) fn pod_annotations(&self, ours: Text) -> Text {
        ours.into_iter().chain(self.merged(|pod| &pod.annotations)).collect()
    }

    pub(super) fn node_selector(&self) -> Option<Text> {
        self.given(|pod| &pod.node_selector)
    }

    pub(super) fn tolerations(&self) -> Option<Vec<Toleration>> {
        self.given(|pod| &pod.tolerations)
    }

    pub(super) fn affinity(&self) -> Option<Affinity> {
        self.given(|pod| &pod.affinity)
    }

    pub(super) fn pull_secrets(&self) -> Option<Vec<LocalObjectReference>> {
        self.given(|pod| &pod.image_pull_secrets)
    }

    /// The target's class takes precedence over the configuration's: if the balancers are evicted before the pods behind them,
    /// the whole service is down.
    pub(super) fn priority_class(&self) -> Option<String> {
        let own = self.traffic.pod.as_ref().and_then(|pod| pod.priority_class_name.as_ref());
        let class = own.or(self.backend.priority_class.as_ref());
        class.or(self.setup.pod.priority_class_name.as_ref()).cloned()
    }

    /// Restricted Pod Security with our own user ID, unless configured otherwise (OpenShift has its own ranges).
    pub(super) fn pod_security(&self) -> PodSecurityContext {
        self.given(|pod| &pod.security_context).unwrap_or_else(|| PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        })
    }

    /// Resources of the load balancer's container.
    pub(super) fn resources(&self) -> ResourceRequirements {
        let own = self.traffic.container.as_ref().and_then(|container| container.resources.as_ref());
        own.or(self.setup.container.resources.as_ref())
            .map_or_else(|| resources("100m", "64Mi", "512Mi"), requirements)
    }
}

fn requirements(resources: &ContainerResources) -> ResourceRequirements {
    let each = |given: &BTreeMap<String, plimsoll_api::Quantity>| {
        let each = given.iter().map(|(name, quantity)| (name.clone(), Quantity(quantity.0.clone())));
        Some(each.collect::<BTreeMap<_, _>>()).filter(|given| !given.is_empty())
    };
    ResourceRequirements {
        requests: each(&resources.requests),
        limits: each(&resources.limits),
        ..ResourceRequirements::default()
    }
}
