//! The agent process: its tasks, their start and their end.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use kube::Client;
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch};

use super::{
    authorities::Mounted,
    gate::{Gate, Replicas},
    known::Known,
    metrics::AgentMetrics,
    pilot::Pilot,
    probe::{Answers, Prober},
    report::Reporter,
    saturation::measure_saturation,
    server::{Served, serve},
    setup::{Links, Setup},
    watches,
};
use crate::{
    balancer::{Driver, Resources, any_address},
    shutdown,
    telemetry::Health,
};
use plimsoll_api::{BalancerStatus, Software};

/// Options of an agent.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The balancer in this pod.
    pub software: Software,
    /// Namespace of the ScalableService and of this pod.
    pub namespace: String,
    /// Name of the ScalableService.
    pub service: String,
    /// Name of this pod.
    pub pod: String,
    /// The folder shared with the balancer.
    pub folder: PathBuf,
    /// The mounted Secrets: in `certificates` those of listeners, in `authorities` those with the authorities of
    /// standbys.
    pub secrets: PathBuf,
    /// Port of `/healthz`, `/startz` and `/metrics`.
    pub port: u16,
    /// Port of the gate, on the loopback.
    pub gate_port: u16,
    /// Resources of the balancer's container.
    pub resources: Resources,
}

/// An agent can't start, or ended with an error.
#[derive(Debug, Error)]
pub enum AgentError {
    /// A client of the API server can't be created.
    #[error("the API server can't be reached: {0}")]
    Client(#[from] Box<kube::Error>),
    /// No service account was found.
    #[error("no cluster is configured: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// A port can't be served.
    #[error("port {port} can't be served: {error}")]
    Port {
        /// The port.
        port: u16,
        /// The error of the system.
        error: io::Error,
    },
    /// Signals can't be received.
    #[error("signals can't be received: {0}")]
    Signals(io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// It can't start.
pub async fn run(options: AgentOptions) -> Result<(), AgentError> {
    let stop = shutdown::requested().map_err(AgentError::Signals)?;
    let client = Client::try_from(kube::Config::infer().await?).map_err(Box::new)?;
    let any = any_address();
    let port = |port| move |error| AgentError::Port { port, error };
    let listener = TcpListener::bind(SocketAddr::new(any, options.port)).await.map_err(port(options.port))?;

    let known = watch::Sender::new(Known::default());
    let (held, waiting) = watch::channel(0);
    let none = Replicas { addresses: Vec::new(), patience: std::time::Duration::from_secs(30) };
    let (replicas, handed_to) = watch::channel(none);
    let (status, wanted_status) = watch::channel(BalancerStatus::default());
    let (results, answers) = watch::channel(Answers::default());
    let authorities = Mounted::at(options.secrets.join("authorities"));
    let (present, is_present) = watch::channel(true);
    let (saturated, saturation) = watch::channel(None);

    let gate_at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), options.gate_port);
    // The gate needs a queue in the balancer.
    let gate = match options.software.capabilities().queue {
        true => Some(
            Gate::bind(gate_at, handed_to, authorities.clone(), held)
                .await
                .map_err(port(options.gate_port))?,
        ),
        false => None,
    };
    let carried = gate.as_ref().map(Gate::carried).unwrap_or_default();
    let driver = Arc::new(Driver::of(options.software, &options.folder, any));
    // A restarted agent, perhaps without the API server, must not take a working balancer out of its Service.
    let balances = driver.epoch().await.is_ok();
    let served = Served {
        health: Health::default(),
        configured: Arc::new(AtomicBool::new(balances)),
        metrics: Arc::new(AgentMetrics::of(options.software)),
        driver: Arc::clone(&driver),
    };
    let setup = Setup {
        driver: Arc::clone(&driver),
        service: (options.namespace.clone(), options.service.clone()),
        pod: options.pod.clone(),
        resources: options.resources,
        gate: gate_at,
        secrets: options.secrets.join("certificates"),
        authorities: authorities.clone(),
        folder: options.folder,
        metrics: Arc::clone(&served.metrics),
        health: served.health.clone(),
        configured: Arc::clone(&served.configured),
    };
    let pilot =
        Pilot::new(setup, Links { known: known.clone(), waiting, carried, replicas, answers, status });
    let prober = Prober::new(&options.namespace, &options.service, authorities, Arc::clone(&served.metrics));
    let reporter = Reporter::new(client.clone(), &options.namespace, &options.service, &options.pod);
    let (metrics, report) = (Arc::clone(&served.metrics), reporter.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), service = options.service, "started");
    let (namespace, service) = (options.namespace, options.service);
    tokio::select! {
        () = stop => {}
        () = run_gate(gate) => {}
        () = driver.hand_over() => {}
        () = pilot.run() => {}
        () = prober.run(known.subscribe(), results) => {}
        () = report.run(wanted_status, saturation, is_present, &metrics) => {}
        () = measure_saturation(&driver, &metrics, saturated) => {}
        () = watches::service(client.clone(), namespace.clone(), service.clone(), options.pod, known.clone(), present) => {}
        () = watches::endpoints(client, namespace, service, known) => {}
        served = serve(listener, served) => served.map_err(port(options.port))?,
    }
    reporter.withdraw().await;
    tracing::info!("ended");
    Ok(())
}

async fn run_gate(gate: Option<Gate>) {
    match gate {
        Some(gate) => gate.run().await,
        None => std::future::pending().await,
    }
}
