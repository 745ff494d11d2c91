//! The operator: election, watches and the loops of all scopes. All dependencies are passed in.
//!
//! Several operators can run in one process: a test starts two of them in virtual time and kills one by dropping its future.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream,
};
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{Controller, controller::Error as ControllerError, reflector::ObjectRef},
};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    board::Board,
    context::{Context, Indexes, Shared},
    index::{Served, Workload, write},
    key::ServiceKey,
    reconcile::reconcile,
    scope::Scope,
    services::Services,
    traffic::marks,
    watches,
    waves::Waves,
};
use crate::{
    actuate::{EventQueue, Events, Evictor, balancer::Setup},
    clock::Clock,
    kpi::KpiReader,
    lease::{self, LeaseConfig, LeaseParams},
    pauses::Pauses,
    random::Random,
    telemetry::{Health, Metrics},
};
use plimsoll_api::ScalableService;

/// Capacity of the queue of workload changes that are to be mapped to services.
const CHANGES_MAX: usize = 4096;
/// Time limit for the current turns when the operator is stopped. Together with the time for events and for the release of the
/// lease it is less than the pod's grace period, which is 30 s in the chart.
pub const TURNS_END_WITHIN: Duration = Duration::from_secs(10);
/// Time limit for publishing the queued events after that.
const EVENTS_END_WITHIN: Duration = Duration::from_secs(2);
/// Name of the Lease.
pub const LEASE: &str = "plimsoll";

/// The operator's dependencies: everything that connects it to the outside world.
pub struct Surroundings {
    /// The API server.
    pub client: Client,
    /// The API server, through a client without automatic retries: see [`Evictor::new`].
    pub evictions: Client,
    /// The Prometheus sources.
    pub kpis: KpiReader,
    /// Configuration of the balancers; without it, the operator runs none.
    pub balancers: Option<Setup>,
    /// The namespaces to work in; none means all.
    pub namespaces: Vec<String>,
    /// This pod's name, for the lease and for events.
    pub pod_name: String,
    /// This pod's namespace, where the Lease is.
    pub pod_namespace: String,
    /// The times of the lease.
    pub lease: LeaseParams,
    /// The time of day.
    pub clock: Clock,
    /// Identities and jitter.
    pub random: Random,
    /// Receives the heartbeat and the sync state of the watches.
    pub health: Health,
    /// Receives the operator's own metrics.
    pub metrics: Arc<Metrics>,
}

type Stop = future::Shared<BoxFuture<'static, ()>>;

/// Takes part in the election and runs the controllers until `stop`, then releases the lease.
///
/// All tasks end with the returned future, also when it is dropped; only a KPI query that was already sent runs on until its
/// own deadline. An operator that is dropped does not release its lease, which then expires.
pub async fn operate(surroundings: Surroundings, stop: impl Future<Output = ()> + Send + 'static) {
    let stop: Stop = stop.boxed().shared();
    let lease = LeaseConfig {
        namespace: surroundings.pod_namespace.clone(),
        name: LEASE.to_owned(),
        identity: lease::identity(&surroundings.pod_name, &surroundings.random),
        params: surroundings.lease.clone(),
    };
    let (client, clock, random) = (surroundings.client, surroundings.clock, surroundings.random);
    let (elector, leader) = lease::elect(client.clone(), lease, clock.clone(), random.clone());
    let events = Events::new(client.clone(), surroundings.pod_name, clock.clone());
    let (events, publishing) = EventQueue::new(events, leader.clone());
    let mut publisher = JoinSet::new();
    publisher.spawn(publishing);
    let shared = Arc::new(Shared {
        events,
        evictor: Evictor::new(surroundings.evictions),
        client,
        clock,
        random,
        kpis: surroundings.kpis,
        leader,
        metrics: surroundings.metrics,
        balancers: surroundings.balancers,
        waves: Waves::default(),
        board: Board::default(),
        services: Services::default(),
        health: surroundings.health,
    });
    let mut tasks = JoinSet::new();
    let controllers = controllers(&mut tasks, &shared, &surroundings.namespaces, &stop);
    let (ended, all_ended) = watch::channel(());
    // A separate task, so that a long step of a controller does not delay a renewal.
    let mut election = JoinSet::new();
    // Release the lease only after the last writer has ended.
    election.spawn(elector.run(async move {
        let mut all_ended = all_ended;
        while all_ended.changed().await.is_ok() {}
    }));
    until_the_end(controllers, stop).await;
    // The queue closes when its last user is dropped.
    drop(shared);
    if timeout(EVENTS_END_WITHIN, publisher.join_next()).await.is_err() {
        tracing::warn!("pending events were not published within {} s", EVENTS_END_WITHIN.as_secs());
    }
    drop(ended);
    let _ = election.join_next().await;
    tasks.shutdown().await;
}

/// Runs the controllers until they have ended after `stop`. Turns that take too long are aborted: a request that was already
/// sent may still take effect, but no more requests are sent.
async fn until_the_end(controllers: impl Future<Output = ()>, stop: Stop) {
    let too_late = async {
        stop.await;
        sleep(TURNS_END_WITHIN).await;
    };
    tokio::select! {
        biased;
        () = controllers => {}
        () = too_late => {
            tracing::warn!("aborted turns that did not end within {} s", TURNS_END_WITHIN.as_secs());
        }
    }
}

/// One controller for each scope, all of which end at `stop`.
fn controllers(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    namespaces: &[String],
    stop: &Stop,
) -> impl Future<Output = ()> + use<> {
    // A namespace that is given twice is one scope: two scopes would overwrite each other.
    let named: BTreeSet<&str> = namespaces.iter().map(String::as_str).collect();
    let scopes: Vec<Option<&str>> =
        if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() };
    let running: Vec<_> = scopes
        .into_iter()
        .map(|namespace| {
            let indexes = Indexes::default();
            if shared.balancers.is_none() {
                write(&indexes.routes.served, |served| *served = Served::Off);
            }
            let (changed, changes) = mpsc::channel(CHANGES_MAX);
            watches::start(tasks, shared, namespace, &indexes, &changed);
            let scope = Scope::new(Context::new(Arc::clone(shared), indexes, changed));
            control(namespace, Arc::new(scope), changes, stop.clone())
        })
        .collect();
    async move {
        futures::future::join_all(running).await;
    }
}

/// The loop of one scope.
fn control(
    namespace: Option<&str>,
    scope: Arc<Scope>,
    changes: mpsc::Receiver<Workload>,
    stop: Stop,
) -> impl Future<Output = ()> + use<> {
    let shared = Arc::clone(&scope.context.shared);
    let client = shared.client.clone();
    let api: Api<DeserializeGuard<ScalableService>> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let leading = leading(&scope, namespace);
    let touched = touched(&scope, namespace, changes);
    let controller = Controller::new(api, watches::config()).trigger_backoff(Pauses::new(&shared.random));
    let store = controller.store();
    shared.services.add(store.clone());
    // Our own status writes come back as changes; a turn that is not due is cheap.
    let controller = controller.reconcile_all_on(leading).reconcile_on(touched).graceful_shutdown_on(stop);
    let done = controller.run(reconcile, |_, error, _| match *error {}, Arc::clone(&scope));
    async move {
        let mut done = std::pin::pin!(done);
        let mut sweep = std::pin::pin!(marks::sweep(Arc::clone(&scope.context)));
        let mut beat = interval(Duration::from_secs(2));
        loop {
            tokio::select! {
                // In a fixed order, so that a test can repeat a run.
                biased;
                _ = beat.tick() => {
                    shared.health.beat();
                    shared.metrics.set_services(store.state().len());
                    shared.metrics.set_leader(shared.leader.leads());
                }
                result = done.next() => match result {
                    None => break,
                    Some(Err(ControllerError::ObjectNotFound(gone))) => {
                        let namespace = gone.namespace.clone().unwrap_or_default();
                        scope.forget(&ServiceKey::new(namespace, &gone.name));
                    }
                    Some(Err(error)) => tracing::debug!(%error, "service queue error"),
                    Some(Ok(_)) => {}
                },
                never = &mut sweep => match never {},
            }
        }
    }
}

/// Yields an item whenever this process becomes the leader. State is discarded if another process has led in between. It is
/// kept if the lease only could not be renewed for a while.
fn leading(scope: &Arc<Scope>, namespace: Option<&str>) -> impl futures::Stream<Item = ()> + Send + use<> {
    let leadership = scope.context.shared.leader.leadership();
    let scope = Arc::clone(scope);
    let namespace = namespace.map(str::to_owned);
    stream::unfold((leadership, None), move |(mut leadership, mut led)| {
        let (scope, namespace) = (Arc::clone(&scope), namespace.clone());
        async move {
            loop {
                let term = leadership.borrow_and_update().term();
                if term != led {
                    scope.context.shared.board.forget_all(namespace.as_deref());
                    scope.context.shared.metrics.forget_all();
                    led = term;
                    if let Some(term) = term {
                        scope.states.keep_term(term);
                        return Some(((), (leadership, led)));
                    }
                }
                if leadership.changed().await.is_err() {
                    // The election has ended for this process, which is about to stop.
                    sleep(Duration::MAX).await;
                }
            }
        }
    })
}

/// The services whose target changed, and those whose requested standby replicas changed.
fn touched(
    scope: &Arc<Scope>,
    namespace: Option<&str>,
    changes: mpsc::Receiver<Workload>,
) -> impl futures::Stream<Item = ObjectRef<DeserializeGuard<ScalableService>>> + Send + use<> {
    let scope = Arc::clone(scope);
    let changes =
        stream::unfold(changes, |mut changes| async move { Some((changes.recv().await?, changes)) });
    let asked = stream::unfold(scope.context.shared.board.changes(), |mut asked| async move {
        loop {
            match asked.recv().await {
                Ok(key) => return Some((key, asked)),
                // Missed services are evaluated when they are due.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let touched = changes.flat_map(move |workload| stream::iter(scope.context.services_of(&workload)));
    // The board spans all scopes; drop the services of others.
    let namespace = namespace.map(str::to_owned);
    let asked = asked.filter(move |key: &ServiceKey| {
        let here = namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
        async move { here }
    });
    stream::select(touched, asked.boxed()).map(|key| ObjectRef::new(&key.name).within(&key.namespace))
}

#[cfg(test)]
mod tests;
