//! The controller process: signals, configuration, connections, and shutdown.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;

use super::{
    config::{Config, ConfigError},
    operate::{Surroundings, operate},
};
use crate::{
    actuate::client_without_retries,
    clock::Clock,
    kpi::{self, KpiReader, QueryObserver, ReaderParts},
    lease::LeaseParams,
    random::Random,
    shutdown,
    telemetry::{self, Health, Metrics},
};

/// The options of the process.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Address of `/livez`, `/readyz` and `/metrics`.
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
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A source is invalid.
    #[error("sources: {0}")]
    Sources(#[from] crate::kpi::ConfigError),
    /// The client of the API server can't be created.
    #[error("the API server can't be reached: {0}")]
    Client(#[from] Box<kube::Error>),
    /// Neither a kubeconfig nor a service account was found.
    #[error("no cluster is configured: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The address can't be served.
    #[error("--listen {address}: {error}")]
    Listen {
        /// The address as it was given.
        address: SocketAddr,
        /// The system's error.
        error: std::io::Error,
    },
    /// Signals can't be received.
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(options: Options) -> Result<(), RunError> {
    let stop = shutdown::requested().map_err(RunError::Signals)?.boxed().shared();
    let config = Config::read(&options.config)?;
    let (clock, health) = (Clock::system(), Health::default());
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), &health));
    let observer: Arc<dyn QueryObserver> = Arc::<Metrics>::clone(&metrics);
    let parts = ReaderParts { connect: &kpi::connect, observer, clock: clock.clone() };
    let kpis = KpiReader::with_parts(config.sources, &parts)?;
    let cluster = kube::Config::infer().await?;
    let evictions = client_without_retries(cluster.clone()).map_err(Box::new)?;
    let client = Client::try_from(cluster).map_err(Box::new)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| RunError::Listen { address: options.listen, error })?;
    let served = tokio::spawn(telemetry::serve(listener, health.clone(), Arc::clone(&metrics), stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    let surroundings = Surroundings {
        client,
        evictions,
        kpis,
        balancers: config.balancers.map(Into::into),
        namespaces: options.namespaces,
        pod_name: options.pod_name,
        pod_namespace: options.pod_namespace,
        lease: LeaseParams::default(),
        clock,
        random: Random::system(),
        health,
        metrics,
    };
    operate(surroundings, stop).await;
    if let Ok(Err(error)) = served.await {
        return Err(RunError::Listen { address: options.listen, error });
    }
    tracing::info!("ended");
    Ok(())
}

/// Counts the queries.
impl QueryObserver for Metrics {
    fn on_query(&self, source: &str, result: &'static str, seconds: f64) {
        self.queried(source, result, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }
}
