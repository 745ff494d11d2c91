//! Measures what Plimsoll costs and how fast it reacts. Only the figures in `verdict.rs` have limits. Each bench ends with one
//! line of JSON.
//!
//! The peers' figures are from the same run on the same cluster. With `--keda` the peer is KEDA 2.21 with the cluster's own
//! HorizontalPodAutoscaler, both with their defaults; otherwise, under load, that autoscaler alone, on CPU.

mod agent;
mod engine;
mod events;
mod figures;
mod gauge;
mod load;
mod many;
mod peer;
mod process;
mod sample;
mod steady;
mod system;
mod verdict;
mod watch;

use self::{figures::Machine, peer::Peer, system::System};
use crate::{
    cluster::Options,
    prelude::*,
    stage::{Install, Profile, Stage},
};

/// Scrape interval of Prometheus in every bench: the one for which the peers publish their figures.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
enum Place {
    Machine(fn() -> Result<Value>),
    Cluster(fn(&Stage, &[System]) -> Result<Value>),
    /// On the cluster under a load that costs CPU.
    Load(fn(&Stage, &[System]) -> Result<Value>),
}

const ALL: [(&str, Place); 10] = [
    ("engine", Place::Machine(engine::run)),
    ("arbiter", Place::Machine(engine::arbiter)),
    ("traffic", Place::Machine(engine::traffic)),
    // Needs a cluster, but no operator on it.
    ("traffic-agent", Place::Machine(agent::run)),
    // Sets up the cluster for the cases.
    ("traffic-events", Place::Machine(events::run)),
    ("reaction-sample", Place::Cluster(sample::run)),
    ("reaction-load", Place::Load(load::run)),
    ("reaction-many", Place::Cluster(many::run)),
    ("loop", Place::Cluster(steady::run)),
    // Takes two hours.
    ("long-traffic", Place::Machine(events::run_long)),
];

/// Runs the benches whose name begins with `wanted` (without it, all but `long-*`); with `keda`, KEDA is the peer.
pub fn run(wanted: Option<&str>, keda: bool) -> Result<()> {
    let long = |name: &str| wanted.is_none() && name.starts_with("long-");
    let wanted = wanted.unwrap_or_default();
    let named = ALL.into_iter().filter(|(name, _)| name.starts_with(wanted));
    let benches: Vec<_> = named.filter(|(name, _)| !long(name)).collect();
    let names = ALL.map(|(name, _)| name).join(", ");
    ensure!(!benches.is_empty(), "no bench name begins with {wanted:?}; known are {names}");
    let on_cluster = benches.iter().any(|(_, place)| !matches!(place, Place::Machine(_)));
    let under_load = benches.iter().any(|(_, place)| matches!(place, Place::Load(_)));
    // Built before any measurement: the builds take both cores for minutes.
    let peer = match (on_cluster, keda, under_load) {
        (true, true, _) => Some(Peer::keda()?),
        (true, false, true) => Some(Peer::metrics_server()?),
        _ => None,
    };
    let stage = if on_cluster { Some(open()?) } else { None };
    let _peer = stage.as_ref().zip(peer).map(|(stage, peer)| peer.install(stage)).transpose()?;
    let mut broken = Vec::new();
    for (name, place) in benches {
        eprintln!("{name} …");
        let machine = Machine::now()?;
        let figures = match (place, &stage) {
            (Place::Machine(run), _) => run()?,
            (Place::Cluster(run) | Place::Load(run), Some(stage)) => run(stage, systems(place, keda))?,
            (_, None) => bail!("{name} needs the cluster"),
        };
        broken.extend(verdict::broken(&figures).into_iter().map(|what| format!("{name}: {what}")));
        println!("{}", machine.around(name, figures)?);
    }
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

fn systems(place: Place, keda: bool) -> &'static [System] {
    match place {
        _ if keda => &[System::Plimsoll, System::Defaults, System::Keda],
        Place::Load(_) => &[System::Plimsoll, System::Defaults, System::Cpu],
        _ => &[System::Plimsoll, System::Defaults],
    }
}

/// The running cluster, but with scrapes every five seconds and an operator that queries Prometheus directly.
fn open() -> Result<Stage> {
    let nodes = Options::of_running_cluster().unwrap_or_default().nodes;
    Stage::set(&Options { nodes, scrape_interval: SCRAPE_INTERVAL }, &Install::default(), Profile::Image)
}
