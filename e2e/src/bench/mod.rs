//! What Plimsoll costs and how fast it reacts, measured; no verdict on times. Each bench ends with one line of JSON.
//!
//! The peers' figures come from the same run on the same cluster, with `--keda`: KEDA 2.21 with the cluster's own
//! HorizontalPodAutoscaler, both with their defaults.

mod agent;
mod engine;
mod figures;
mod gauge;
mod keda;
mod load;
mod many;
mod sample;
mod steady;
mod system;
mod traffic;
mod watch;

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{
    cluster::Options,
    stage::{Install, Stage},
};

use self::{figures::Machine, keda::Keda, system::System};

/// How often Prometheus scrapes in every bench: what the peers' own figures are given for.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(5);

/// Where a bench runs.
#[derive(Clone, Copy)]
enum Runs {
    /// On this machine alone.
    Alone(fn() -> Result<Value>),
    /// On the cluster, for each of the systems.
    OnCluster(fn(&Stage, &[System]) -> Result<Value>),
}

/// Every bench, in the order in which they run.
const ALL: [(&str, Runs); 7] = [
    ("engine", Runs::Alone(engine::run)),
    ("traffic", Runs::Alone(traffic::run)),
    // Needs a cluster, but no operator on it.
    ("traffic-agent", Runs::Alone(agent::run)),
    ("reaction-sample", Runs::OnCluster(sample::run)),
    ("reaction-load", Runs::OnCluster(load::run)),
    ("reaction-many", Runs::OnCluster(many::run)),
    ("loop", Runs::OnCluster(steady::run)),
];

/// Runs the benches whose name begins with `wanted` (all without one); with `keda` the same for KEDA beside it.
pub fn run(wanted: Option<&str>, keda: bool) -> Result<()> {
    let wanted = wanted.unwrap_or_default();
    let benches: Vec<_> = ALL.into_iter().filter(|(name, _)| name.starts_with(wanted)).collect();
    if benches.is_empty() {
        bail!("no bench is named {wanted:?}; there are {}", ALL.map(|(name, _)| name).join(", "));
    }
    let on_cluster = benches.iter().any(|(_, runs)| matches!(runs, Runs::OnCluster(_)));
    // Built before anything is measured: the build takes both cores for minutes.
    let peer = if keda && on_cluster { Some(keda::build()?) } else { None };
    let stage = if on_cluster { Some(open()?) } else { None };
    let installed = match (&stage, &peer) {
        (Some(stage), Some(programs)) => Some(Keda::install(stage, programs)?),
        _ => None,
    };
    let systems: &[System] =
        if installed.is_some() { &[System::Plimsoll, System::Keda] } else { &[System::Plimsoll] };
    for (name, runs) in benches {
        eprintln!("{name} …");
        let machine = Machine::now()?;
        let figures = match (runs, &stage) {
            (Runs::Alone(run), _) => run()?,
            (Runs::OnCluster(run), Some(stage)) => run(stage, systems)?,
            (Runs::OnCluster(_), None) => bail!("{name} needs the cluster"),
        };
        println!("{}", machine.around(name, figures)?);
    }
    Ok(())
}

/// The cluster as it is, but with scrapes every five seconds and an operator that reads Prometheus directly.
fn open() -> Result<Stage> {
    let nodes = Options::of_running_cluster().unwrap_or_default().nodes;
    Stage::set(&Options { nodes, scrape_interval: SCRAPE_INTERVAL }, &Install::default())
}
