//! `cargo xtask cluster`: the local cluster from the command line.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use plimsoll_e2e::cluster::{Cluster, Image, Options};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Subcommands of `cargo xtask cluster`.
#[derive(Subcommand)]
pub enum Verb {
    /// Create the cluster, or repair the running one (the first run builds Kubernetes: ten minutes)
    Up(Up),
    /// Remove the cluster and everything that it left on this machine
    Down,
    /// Load a program of this machine onto the nodes as an image, for pods with imagePullPolicy: Never
    Load(Load),
    /// Show the running programs with their memory, the nodes and the pods
    Status,
}

/// Options of the cluster. An option that is not given keeps its present value; a new cluster has one node and a scrape
/// interval of one second.
#[derive(Args)]
pub struct Up {
    /// Number of nodes; the second one is in another zone
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    nodes: Option<u8>,
    /// How often Prometheus scrapes pods, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(100..=600_000))]
    scrape_interval: Option<u64>,
}

/// The image to load.
#[derive(Args)]
pub struct Load {
    /// Full image name, such as plimsoll.local/app:1
    name: String,
    /// The program; its shared libraries are added to the image
    program: PathBuf,
}

/// Runs a subcommand.
///
/// # Errors
/// Errors of the cluster. `status` also fails if one of its programs is not running.
pub fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Up(options) => up(options),
        Verb::Down => down(),
        Verb::Load(Load { name, program }) => {
            Cluster::attach()?.load_image(name, &Image::of_program(program))
        }
        Verb::Status => status(),
    }
}

fn up(options: &Up) -> Result<()> {
    let start = Instant::now();
    let now = Options::of_running_cluster().unwrap_or_default();
    let cluster = Cluster::up(&Options {
        nodes: options.nodes.unwrap_or(now.nodes),
        scrape_interval: options.scrape_interval.map_or(now.scrape_interval, Duration::from_millis),
    })?;
    eprintln!("the cluster is ready after {:.1} s", start.elapsed().as_secs_f64());
    // On standard output, so that `eval "$(cargo xtask cluster up)"` sets up a shell.
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    let folders: Vec<String> =
        cluster.program_folders().iter().map(|path| path.display().to_string()).collect();
    println!("export PATH={}:$PATH", folders.join(":"));
    Ok(())
}

fn down() -> Result<()> {
    let start = Instant::now();
    Cluster::down()?;
    eprintln!("removed the cluster in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn status() -> Result<()> {
    let status = Cluster::attach()?.status()?;
    print!("{status}");
    if !status.is_complete() {
        bail!("a program of the cluster is not running; `cargo xtask cluster up` restarts it");
    }
    Ok(())
}
