//! Developer commands: `cargo xtask <command>`. Only parses arguments and dispatches.

mod chart;
mod cluster;
mod generate;
mod series;
mod test;

use clap::{Args, Parser, Subcommand};
use plimsoll_e2e::demo;
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Plimsoll", disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Manage a real Kubernetes cluster on this machine: up, down, load, status
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// Run all tests, with everything that they need; the last line has the counts
    Test,
    /// Write the generated files: CRDs, command help, metrics table, schemas
    Generate,
    /// Run the end-to-end cases on the real cluster: all, or those whose name begins with NAME
    E2e {
        /// Prefix of the case names
        name: Option<String>,
    },
    /// Measure what Plimsoll costs and how fast it reacts: all benches but the long one, or those whose name begins with NAME
    Bench {
        /// Prefix of the bench names: engine, traffic, traffic-agent, traffic-events, reaction-sample, reaction-load,
        /// reaction-many, loop, long-traffic (two hours)
        name: Option<String>,
        /// Compare with KEDA and its HorizontalPodAutoscaler instead of one on CPU (builds KEDA once: eight minutes)
        #[arg(long)]
        keda: bool,
    },
    /// Show Plimsoll on a real cluster, in about four minutes: it keeps a shop under load within its objectives
    Demo(Demo),
}

#[derive(Args)]
struct Demo {
    /// Number of nodes of the local cluster, 1 or 2
    #[arg(long, default_value_t = 1, conflicts_with = "context")]
    nodes: u8,
    /// Use the existing cluster of this context, in the namespace plimsoll-demo; prints the images that it needs
    #[arg(long)]
    context: Option<String>,
    /// Kubeconfig file with that context
    #[arg(long, requires = "context")]
    kubeconfig: Option<PathBuf>,
    /// Registry that has the images (localhost:5000/plimsoll); without it they must be on the nodes
    #[arg(long, requires = "context")]
    registry: Option<String>,
}

impl Demo {
    fn run(self) -> anyhow::Result<()> {
        let Self { nodes, context, kubeconfig, registry } = self;
        let on = match context {
            Some(context) => demo::On::Context(demo::Target { context, kubeconfig, registry }),
            None => demo::On::Machine(nodes),
        };
        demo::run(&on)
    }
}

fn main() -> ExitCode {
    let done = match CommandLine::parse().verb {
        Verb::Cluster(verb) => cluster::run(&verb),
        Verb::Test => test::run(),
        Verb::Generate => generate::run(),
        Verb::E2e { name } => {
            plimsoll_e2e::cases::run(name.as_deref()).and_then(|counts| match counts.failed {
                0 => Ok(()),
                failed => Err(anyhow::anyhow!("{failed} cases failed")),
            })
        }
        Verb::Bench { name, keda } => plimsoll_e2e::bench::run(name.as_deref(), keda),
        Verb::Demo(demo) => demo.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // All causes on one line: a developer needs the fix, not a backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
