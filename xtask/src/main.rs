//! The developer's verbs: `cargo xtask <verb>`. Parses arguments and hands over, nothing else.

mod chart;
mod cluster;
mod generate;
mod series;
mod test;

use clap::{Args, Parser, Subcommand};
use plimsoll_e2e::demo;
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The developer's verbs of Plimsoll", disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A real Kubernetes on this machine: up, down, status
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// All tests, with everything that they need: ends with their counts
    Test,
    /// Writes the generated files: CRD, command help, metrics table, schemas
    Generate,
    /// What is proven on the real cluster: all cases, or those whose name begins with NAME
    E2e {
        /// Beginning of the cases' names
        name: Option<String>,
    },
    /// What Plimsoll costs and how fast it reacts: all benches but the long one, or those whose name begins with NAME
    Bench {
        /// Beginning of the benches' names: engine, traffic, traffic-agent, traffic-events, reaction-sample, reaction-load,
        /// reaction-many, loop, long-traffic (two hours)
        name: Option<String>,
        /// KEDA with its HorizontalPodAutoscaler beside it, instead of one on CPU (builds KEDA once: eight minutes)
        #[arg(long)]
        keda: bool,
    },
    /// The main job on a real cluster, in about four minutes: a shop under load, kept within its objectives
    Demo(Demo),
}

#[derive(Args)]
struct Demo {
    /// Nodes of this machine's cluster, 1 or 2
    #[arg(long, default_value_t = 1, conflicts_with = "context")]
    nodes: u8,
    /// An existing cluster instead, in the namespace plimsoll-demo; prints the images that it needs
    #[arg(long)]
    context: Option<String>,
    /// File of that context
    #[arg(long, requires = "context")]
    kubeconfig: Option<PathBuf>,
    /// Where you have pushed the images to (localhost:5000/plimsoll); without it they are on the nodes
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
            // The causes in one paragraph: a developer needs what to do, not a backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
