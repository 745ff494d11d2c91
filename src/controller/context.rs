//! The context of a turn: the parts of the process, and the indexes of one scope (the cluster, or one namespace).

use std::sync::Arc;

use kube::Client;
use tokio::sync::mpsc;

use super::{
    board::Board,
    index::{
        NodeIndex, PodIndex, RouteIndex, Scaler, ScalerIndex, Served, SharedIndex, Target, Workload, read,
        route_workload,
    },
    key::ServiceKey,
    services::Services,
    target::{BuiltIn, Targets},
    waves::Waves,
};
use crate::{
    actuate::{EventQueue, Evictor, balancer::Setup},
    clock::Clock,
    kpi::KpiReader,
    lease::Leader,
    random::Random,
    telemetry::{Health, Metrics},
};
use plimsoll_api::GatewayRule;
use plimsoll_engine::Pods;

/// Parts that all scopes share.
pub struct Shared {
    /// The cluster.
    pub client: Client,
    /// The time of day.
    pub clock: Clock,
    /// Jitter.
    pub random: Random,
    /// Evictions.
    pub evictor: Evictor,
    /// Prometheus.
    pub kpis: KpiReader,
    /// Whether this process may write.
    pub leader: Leader,
    /// Own metrics.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub events: EventQueue,
    /// Settings of balancers, if the operator runs any.
    pub balancers: Option<Setup>,
    /// Order of the balancers' rollouts after the operator changed.
    pub waves: Waves,
    /// The ledger of claims between services.
    pub board: Board,
    /// The services of all scopes.
    pub services: Services,
    /// Whether all watches have completed their initial list.
    pub health: Health,
}

/// Indexes of one scope.
#[derive(Clone, Default)]
pub struct Indexes {
    /// Pods.
    pub pods: SharedIndex<PodIndex>,
    /// Nodes; empty if the operator is restricted to some namespaces.
    pub nodes: SharedIndex<NodeIndex>,
    /// Deployments, StatefulSets, ReplicaSets.
    pub built_in: BuiltIn,
    /// ScalableServices.
    pub services: SharedIndex<ScalerIndex>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: SharedIndex<ScalerIndex>,
    /// KEDA's ScaledObjects, if the cluster serves them.
    pub scaled_objects: SharedIndex<ScalerIndex>,
    /// HTTPRoutes, if the cluster serves them.
    pub routes: Routes,
}

/// HTTPRoutes, and whether the cluster serves them.
#[derive(Clone, Default)]
pub struct Routes {
    /// The routes.
    pub index: SharedIndex<RouteIndex>,
    /// Whether the cluster serves them.
    pub served: SharedIndex<Served>,
}

/// The services of all scopes, and their claims on each other.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    /// Their claims on each other.
    pub board: &'a Board,
    /// The services.
    pub services: &'a Services,
}

/// One scope.
pub struct Context {
    /// Parts that all scopes share.
    pub shared: Arc<Shared>,
    /// Pods.
    pub pods: SharedIndex<PodIndex>,
    /// Nodes.
    pub nodes: SharedIndex<NodeIndex>,
    /// Finds targets.
    pub targets: Targets,
    /// HTTPRoutes.
    pub routes: Routes,
    /// Queue of changed workloads; their services get a turn.
    pub changed: mpsc::Sender<Workload>,
    scalers: [SharedIndex<ScalerIndex>; 3],
}

impl Context {
    /// A context over the given indexes.
    #[must_use]
    pub fn new(shared: Arc<Shared>, indexes: Indexes, changed: mpsc::Sender<Workload>) -> Self {
        let targets = Targets::new(shared.client.clone(), indexes.built_in);
        let scalers = [indexes.services, indexes.autoscalers, indexes.scaled_objects];
        let Indexes { pods, nodes, routes, .. } = indexes;
        Self { shared, pods, nodes, targets, routes, changed, scalers }
    }

    /// The services of all scopes, and their claims on each other.
    #[must_use]
    pub fn others(&self) -> Others<'_> {
        Others { board: &self.shared.board, services: &self.shared.services }
    }

    /// The pods of a target, from the watches.
    #[must_use]
    pub fn pods_of(&self, target: &Target, key: &ServiceKey) -> Pods {
        match target.selected() {
            Some(selected) => Pods::Listed(read(&self.pods, |index| {
                index.select(&key.namespace, selected, target.revision.as_ref())
            })),
            None => Pods::Counted { ready: target.ready },
        }
    }

    /// Everything that scales `workload`.
    #[must_use]
    pub fn scalers_of(&self, workload: &Workload) -> Vec<Scaler> {
        self.scalers.iter().flat_map(|index| read(index, |index| index.of(workload).to_vec())).collect()
    }

    /// The ScalableServices that scale `workload`, own it as their balancers' Deployment, or steer it as an HTTPRoute.
    #[must_use]
    pub fn services_of(&self, workload: &Workload) -> Vec<ServiceKey> {
        let [services, ..] = &self.scalers;
        let Workload { namespace, name, .. } = workload;
        if *workload == route_workload(namespace, name) {
            let names = read(services, |index| index.steering(namespace, name));
            return names.into_iter().map(|name| ServiceKey::new(namespace, name)).collect();
        }
        let key = |scaler: &Scaler| ServiceKey::new(&scaler.workload.namespace, &scaler.name);
        let mut keys: Vec<ServiceKey> = read(services, |index| index.of(workload).iter().map(key).collect());
        // A balancers' Deployment is not a target, but its service waits for its rollout.
        keys.extend(
            self.targets.front(workload).map(|front| ServiceKey::new(&workload.namespace, front.service)),
        );
        keys
    }

    /// The ScalableService that steers a rule of an HTTPRoute.
    #[must_use]
    pub fn keeper_of(&self, namespace: &str, rule: &GatewayRule) -> Option<String> {
        let [services, ..] = &self.scalers;
        read(services, |index| index.keeper(namespace, rule).map(str::to_owned))
    }
}
