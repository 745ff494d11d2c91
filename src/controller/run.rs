//! The process: configuration, election, watches, the loop, and a clean end.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, future::Shared, stream};
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{Controller, controller::Error as ControllerError, reflector::ObjectRef, watcher},
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{broadcast::error::RecvError, mpsc, watch},
    task::JoinSet,
    time::{interval, sleep},
};

use super::{
    board::Board,
    config::{Config, ConfigError},
    context::{Context, Indexes, Shell},
    gate::Gate,
    index::{Served, Workload, write},
    reconcile::reconcile,
    services::Services,
    watches,
};
use crate::{
    actuate::{Events, Evictor},
    api::ScalableService,
    clock::Clock,
    kpi::{self, KpiReader, QueryObserver, ReaderParts},
    lease::{self, LeaseConfig, LeaseParams},
    pauses::Pauses,
    random::Random,
    shutdown,
    telemetry::{self, Health, Metrics},
};

/// Looks at the same time.
const LOOKS_AT_ONCE: usize = 128;
/// Workload changes that wait to be mapped to services.
const CHANGES_MAX: usize = 4096;
/// Name of the Lease.
const LEASE: &str = "plimsoll";

/// How the process was started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Where to serve `/livez`, `/readyz` and `/metrics`.
    pub listen: SocketAddr,
    /// The namespaces to work in; none means all.
    pub namespaces: Vec<String>,
    /// This pod's name.
    pub pod_name: String,
    /// This pod's namespace, where the Lease is.
    pub pod_namespace: String,
}

/// Why the process can't start, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A source can't be used.
    #[error("sources: {0}")]
    Sources(#[from] crate::kpi::ConfigError),
    /// No way to the API server is known.
    #[error("the API server can't be reached: {0}")]
    Client(#[from] Box<kube::Error>),
    /// Neither a kubeconfig nor a service account was found.
    #[error("no cluster is configured: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The port can't be served.
    #[error("--listen {address}: {error}")]
    Listen {
        /// The address as it was given.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Signals can't be received.
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

type Stop = Shared<BoxFuture<'static, ()>>;

/// Runs until SIGTERM or SIGINT.
pub async fn run(options: Options) -> Result<(), RunError> {
    let stop: Stop = shutdown::requested().map_err(RunError::Signals)?.boxed().shared();
    let (clock, random) = (Clock::system(), Random::system());
    let config = Config::read(&options.config)?;
    let health = Health::default();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), &health));
    let observer = Arc::new(QueryMetrics(Arc::clone(&metrics)));
    let kpis = KpiReader::with_parts(
        config.sources,
        &ReaderParts { connect: &kpi::connect, observer, clock: clock.clone() },
    )?;
    let cluster = kube::Config::infer().await?;
    let evictor = Evictor::new(cluster.clone()).map_err(Box::new)?;
    let client = Client::try_from(cluster).map_err(Box::new)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| RunError::Listen { address: options.listen, error })?;
    let identity = lease::identity(&options.pod_name, &random);
    let (elector, leader) = lease::elect(
        client.clone(),
        LeaseConfig {
            namespace: options.pod_namespace.clone(),
            name: LEASE.to_owned(),
            identity,
            params: LeaseParams::default(),
        },
        clock.clone(),
        random.clone(),
    );
    let shell = Arc::new(Shell {
        client: client.clone(),
        clock: clock.clone(),
        random,
        evictor,
        kpis,
        leader,
        metrics: Arc::clone(&metrics),
        gate: Gate::new(LOOKS_AT_ONCE),
        events: Events::new(client, options.pod_name.clone(), clock),
        balancers: config.balancers.map(Into::into),
        board: Board::default(),
        services: Services::default(),
        health: health.clone(),
    });
    let served = tokio::spawn(telemetry::serve(listener, health.clone(), metrics, stop.clone()));
    let mut tasks = JoinSet::new();
    let controllers = controllers(&mut tasks, &shell, &options.namespaces, &health, &stop);
    let (ended, all_ended) = watch::channel(());
    // The lease is let go only when nobody writes any more.
    let election = tokio::spawn(elector.run(async move {
        let mut all_ended = all_ended;
        while all_ended.changed().await.is_ok() {}
    }));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    controllers.await;
    drop(ended);
    let _ = election.await;
    tasks.shutdown().await;
    if let Ok(Err(error)) = served.await {
        return Err(RunError::Listen { address: options.listen, error });
    }
    tracing::info!("ended");
    Ok(())
}

/// One controller for each scope, all of which end at `stop`.
fn controllers(
    tasks: &mut JoinSet<()>,
    shell: &Arc<Shell>,
    namespaces: &[String],
    health: &Health,
    stop: &Stop,
) -> impl Future<Output = ()> + use<> {
    let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|name| Some(name.as_str())).collect()
    };
    let running: Vec<_> = scopes
        .into_iter()
        .map(|namespace| {
            let indexes = Indexes::default();
            if shell.balancers.is_none() {
                write(&indexes.routes.served, |served| *served = Served::Off);
            }
            let (changed, changes) = mpsc::channel(CHANGES_MAX);
            watches::start(tasks, (&shell.client, &shell.random), namespace, &indexes, health, &changed);
            let context = Arc::new(Context::new(Arc::clone(shell), indexes, changed));
            control(namespace, context, changes, health.clone(), stop.clone())
        })
        .collect();
    async move {
        futures::future::join_all(running).await;
    }
}

/// The loop of one scope.
fn control(
    namespace: Option<&str>,
    context: Arc<Context>,
    changes: mpsc::Receiver<Workload>,
    health: Health,
    stop: Stop,
) -> impl Future<Output = ()> + use<> {
    let client = context.shell.client.clone();
    let api: Api<DeserializeGuard<ScalableService>> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let leading = leading(&context, namespace);
    let touched = touched(&context, namespace, changes);
    let controller =
        Controller::new(api, watcher::Config::default()).trigger_backoff(Pauses::new(&context.shell.random));
    let store = controller.store();
    context.shell.services.add(store.clone());
    // A status that we wrote comes back as a change; a turn that is not due costs nothing.
    let controller = controller.reconcile_all_on(leading).reconcile_on(touched).graceful_shutdown_on(stop);
    let done = controller.run(reconcile, |_, error, _| match *error {}, Arc::clone(&context));
    async move {
        let mut done = std::pin::pin!(done);
        let mut beat = interval(Duration::from_secs(2));
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    health.beat();
                    context.shell.metrics.set_services(store.state().len());
                    context.shell.metrics.set_leader(context.shell.leader.leads());
                }
                result = done.next() => match result {
                    None => break,
                    Some(Err(ControllerError::ObjectNotFound(gone))) => {
                        context.forget(&(gone.namespace.clone().unwrap_or_default(), gone.name.clone()));
                    }
                    Some(Err(error)) => tracing::debug!(%error, "the queue of services"),
                    Some(Ok(_)) => {}
                },
            }
        }
    }
}

/// An item whenever this process becomes the leader. What was known before somebody else led is forgotten.
fn leading(
    context: &Arc<Context>,
    namespace: Option<&str>,
) -> impl futures::Stream<Item = ()> + Send + use<> {
    let leadership = context.shell.leader.leadership();
    let context = Arc::clone(context);
    let namespace = namespace.map(str::to_owned);
    stream::unfold((leadership, false), move |(mut leadership, mut led)| {
        let (context, namespace) = (Arc::clone(&context), namespace.clone());
        async move {
            loop {
                let leads = leadership.borrow_and_update().is_leading();
                if leads != led {
                    context.states.forget_all();
                    context.shell.board.forget_all(namespace.as_deref());
                    context.shell.metrics.forget_all();
                    led = leads;
                    if leads {
                        return Some(((), (leadership, led)));
                    }
                }
                if leadership.changed().await.is_err() {
                    // The election is over for this process: it only waits for its end.
                    sleep(Duration::MAX).await;
                }
            }
        }
    })
}

/// The services whose target changed, and those of which others ask something else.
fn touched(
    context: &Arc<Context>,
    namespace: Option<&str>,
    changes: mpsc::Receiver<Workload>,
) -> impl futures::Stream<Item = ObjectRef<DeserializeGuard<ScalableService>>> + Send + use<> {
    let context = Arc::clone(context);
    let changes =
        stream::unfold(changes, |mut changes| async move { Some((changes.recv().await?, changes)) });
    let asked = stream::unfold(context.shell.board.changes(), |mut asked| async move {
        loop {
            match asked.recv().await {
                Ok(key) => return Some((key, asked)),
                // Those that were missed are looked at when they are due.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let touched = changes.flat_map(move |workload| stream::iter(context.services_of(&workload)));
    // The board is of all scopes; what is another's is not here.
    let namespace = namespace.map(str::to_owned);
    let asked = asked.filter(move |(of, _)| {
        let here = namespace.as_ref().is_none_or(|namespace| namespace == of);
        async move { here }
    });
    stream::select(touched, asked.boxed()).map(|(namespace, name)| ObjectRef::new(&name).within(&namespace))
}

/// Counts the queries.
struct QueryMetrics(Arc<Metrics>);

impl QueryObserver for QueryMetrics {
    fn on_query(&self, source: &str, result: &'static str, seconds: f64) {
        self.0.queried(source, result, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }
}
