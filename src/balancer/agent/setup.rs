//! What the agent's loop is given, and how the agent's parts hear of each other.

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

/// What an agent is given.
#[derive(Debug)]
pub struct Setup {
    /// What balances; shared with who tells its counters.
    pub driver: Arc<Driver>,
    /// Namespace and name of the ScalableService.
    pub service: (String, String),
    /// The pod that this runs in.
    pub pod: String,
    /// What the container of the balancer has.
    pub resources: Resources,
    /// Where the gate listens.
    pub gate: SocketAddr,
    /// The Secrets with certificates, each in a folder of its name.
    pub secrets: PathBuf,
    /// The Secrets with authorities of standbys.
    pub authorities: Mounted,
    /// Where PEM files and the copy of what is known are kept.
    pub folder: PathBuf,
    /// The metrics.
    pub metrics: Arc<AgentMetrics>,
    /// Progress of the loop.
    pub health: Health,
    /// Set once there is a configuration to start with.
    pub configured: Arc<AtomicBool>,
}

/// How an agent's parts hear of each other.
#[derive(Debug)]
pub struct Links {
    /// What the watches know.
    pub known: watch::Sender<Known>,
    /// Requests that the gate holds.
    pub waiting: watch::Receiver<u32>,
    /// Connections that the gate carries.
    pub carried: Carried,
    /// Where the gate may hand them on to.
    pub replicas: watch::Sender<Replicas>,
    /// What standbys answer.
    pub answers: watch::Receiver<Answers>,
    /// What is to stand in status.
    pub status: watch::Sender<BalancerStatus>,
}
