//! The watches of one scope; each feeds an index.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Node, Pod},
    },
};
use kube::{
    Api, Client, Resource,
    api::DynamicObject,
    core::DeserializeGuard,
    discovery::pinned_kind,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use super::{
    context::{Indexes, Routes, Shared},
    index::{Follow, NodeIndex, Served, SharedIndex, Workload, follow, read, scaled_object_resource, write},
    target::is_missing_kind,
};
use crate::{balancer::gateway::route_resource, pauses::Pauses, random::Random, telemetry::Health};
use plimsoll_api::ScalableService;

/// Interval for checking whether the cluster serves ScaledObjects (KEDA).
const KEDA_PAUSE: Duration = Duration::from_secs(15);
/// Interval for checking whether the cluster serves HTTPRoutes (Gateway API).
const GATEWAY_PAUSE: Duration = Duration::from_secs(15);

/// Duration of one watch request. A dead connection that was not closed is detected 5 s after that; kube's default is 290 s.
/// Each request resumes where the last one ended, so nothing is listed again.
const WATCH_SECONDS: u32 = 30;

/// The configuration of all watches.
pub fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Starts all watches of `namespace` (`None`: of the cluster). Changed workloads are sent to `changed`.
pub fn start(
    tasks: &mut JoinSet<()>,
    shared: &Shared,
    namespace: Option<&str>,
    indexes: &Indexes,
    changed: &mpsc::Sender<Workload>,
) {
    let Shared { client, random, health, .. } = shared;
    let mut watches = Watches { tasks, client, random, namespace, health, changed };
    watches.add::<Pod, _>("pods", &indexes.pods);
    watches.add::<Deployment, _>("deployments", &indexes.built_in.deployments);
    watches.add::<StatefulSet, _>("statefulsets", &indexes.built_in.stateful_sets);
    watches.add::<ReplicaSet, _>("replicasets", &indexes.built_in.replica_sets);
    watches.add::<HorizontalPodAutoscaler, _>("horizontalpodautoscalers", &indexes.autoscalers);
    watches.add::<DeserializeGuard<ScalableService>, _>("scalableservices", &indexes.services);
    if namespace.is_none() {
        tasks.spawn(nodes(client.clone(), Pauses::new(random), Arc::clone(&indexes.nodes)));
    }
    let scaled_objects = Arc::clone(&indexes.scaled_objects);
    let (client, namespace) = (client.clone(), namespace.map(str::to_owned));
    tasks.spawn(keda(
        client.clone(),
        Pauses::new(random),
        namespace.clone(),
        scaled_objects,
        changed.clone(),
    ));
    if read(&indexes.routes.served, |served| *served != Served::Off) {
        tasks.spawn(routes(client, Pauses::new(random), namespace, indexes.routes.clone(), changed.clone()));
    }
}

struct Watches<'a> {
    tasks: &'a mut JoinSet<()>,
    client: &'a Client,
    random: &'a Random,
    namespace: Option<&'a str>,
    health: &'a Health,
    changed: &'a mpsc::Sender<Workload>,
}

impl Watches<'_> {
    fn add<K, I>(&mut self, name: &'static str, index: &SharedIndex<I>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + 'static,
        I: Follow<K> + Send + Sync + 'static,
    {
        let api: Api<K> = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let latch = self.health.watch(name);
        let events = watcher(api, config()).backoff(Pauses::new(self.random));
        self.tasks.spawn(follow(
            events,
            Arc::clone(index),
            Some(self.changed.clone()),
            move || latch.set(),
            name,
        ));
    }
}

/// Waits until HTTPRoutes are served, then watches them. Readiness does not depend on the Gateway API.
async fn routes(
    client: Client,
    pauses: Pauses,
    namespace: Option<String>,
    routes: Routes,
    changed: mpsc::Sender<Workload>,
) {
    let resource = route_resource();
    let kind = kube::api::GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
    while let Err(error) = pinned_kind(&client, &kind).await {
        // They count as not served only if the API server answered so.
        if is_missing_kind(&error) {
            write(&routes.served, |served| *served = Served::No);
        }
        sleep(GATEWAY_PAUSE).await;
    }
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let events = watcher(api, config()).backoff(pauses);
    let listed = || write(&routes.served, |served| *served = Served::Yes);
    follow(events, routes.index, Some(changed), listed, "httproutes").await;
}

/// Watches the nodes, in cluster scope only: permissions in single namespaces don't cover them. Readiness does not depend on
/// their list, since without it only zones are unknown.
async fn nodes(client: Client, pauses: Pauses, index: SharedIndex<NodeIndex>) {
    let events = watcher(Api::<Node>::all(client), config()).backoff(pauses);
    follow(events, index, None, || {}, "nodes").await;
}

/// Waits until ScaledObjects are served, then watches them. Readiness does not depend on KEDA.
async fn keda(
    client: Client,
    pauses: Pauses,
    namespace: Option<String>,
    index: SharedIndex<super::index::ScalerIndex>,
    changed: mpsc::Sender<Workload>,
) {
    let resource = scaled_object_resource();
    let kind = kube::api::GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
    while pinned_kind(&client, &kind).await.is_err() {
        sleep(KEDA_PAUSE).await;
    }
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let events = watcher(api, config()).backoff(pauses);
    follow(events, index, Some(changed), || {}, "scaledobjects").await;
}
