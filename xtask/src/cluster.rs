//! `cargo xtask cluster`: the local cluster from the command line.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use plimsoll_e2e::cluster::{Cluster, Image, Options};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to do with the cluster.
#[derive(Subcommand)]
pub enum Verb {
    /// Make the cluster, or bring the running one in order (the first time builds Kubernetes: ten minutes)
    Up(Up),
    /// Remove the cluster and all that it left on this machine
    Down,
    /// Put a program of this machine onto the nodes as an image, for pods with imagePullPolicy: Never
    Load(Load),
    /// Show what runs, its memory, the nodes and the pods
    Status,
}

/// What the cluster is made of; what is not given stays as it is, or is one node and a second.
#[derive(Args)]
pub struct Up {
    /// Number of nodes; the second has a zone of its own
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    nodes: Option<u8>,
    /// How often Prometheus scrapes pods, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(100..=600_000))]
    scrape_interval: Option<u64>,
}

/// A program to be an image.
#[derive(Args)]
pub struct Load {
    /// Full name of the image, such as plimsoll.local/app:1
    name: String,
    /// The program; the shared libraries that it needs come along
    program: PathBuf,
}

/// Does it.
///
/// # Errors
/// Those of the cluster; for `status`, a program of it does not run.
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
    eprintln!("nothing of the cluster is left, after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn status() -> Result<()> {
    let status = Cluster::attach()?.status()?;
    print!("{status}");
    if !status.is_complete() {
        bail!("a program of the cluster does not run; `cargo xtask cluster up` starts it again");
    }
    Ok(())
}
