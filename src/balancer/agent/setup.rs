//! Input of the agent's main loop, and the channels between the agent's tasks.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::watch;

use super::{
    authorities::Mounted, carried::Carried, gate::Replicas, known::Known, metrics::AgentMetrics,
    probe::Answers,
};
use crate::{
    balancer::{Driver, Resources},
    telemetry::Health,
};
use plimsoll_api::BalancerStatus;

/// Input of the main loop.
#[derive(Debug)]
pub struct Setup {
    /// The driver; shared with the server of metrics.
    pub driver: Arc<Driver>,
    /// Namespace and name of the ScalableService.
    pub service: (String, String),
    /// The pod that this runs in.
    pub pod: String,
    /// Resources of the balancer's container.
    pub resources: Resources,
    /// Where the gate listens.
    pub gate: SocketAddr,
    /// The Secrets with certificates, each in a folder of its name.
    pub secrets: PathBuf,
    /// The Secrets with authorities of standbys.
    pub authorities: Mounted,
    /// Folder of the PEM files and of the copy of the known state.
    pub folder: PathBuf,
    /// The metrics.
    pub metrics: Arc<AgentMetrics>,
    /// Progress of the loop.
    pub health: Health,
    /// Set once there is a configuration to start with.
    pub configured: Arc<AtomicBool>,
}

/// Channels between the agent's tasks.
#[derive(Debug)]
pub struct Links {
    /// State from the watches.
    pub known: watch::Sender<Known>,
    /// Number of requests that the gate holds.
    pub waiting: watch::Receiver<u32>,
    /// Connections that the gate carries.
    pub carried: Carried,
    /// Replicas that the gate may forward to.
    pub replicas: watch::Sender<Replicas>,
    /// Results of the probes of standbys.
    pub answers: watch::Receiver<Answers>,
    /// The status to write.
    pub status: watch::Sender<BalancerStatus>,
}
