//! The developer's verbs: `cargo xtask <verb>`. Parses arguments and hands over, nothing else.

mod chart;
mod cluster;
mod generate;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

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
    /// What Plimsoll costs and how fast it reacts: all benches, or those whose name begins with NAME
    Bench {
        /// Beginning of the benches' names: engine, reaction-sample, reaction-load, reaction-many, loop
        name: Option<String>,
        /// KEDA and the HorizontalPodAutoscaler beside it (the first time builds KEDA: eight minutes)
        #[arg(long)]
        keda: bool,
    },
    /// The main job on a real cluster, in about four minutes: a shop under load, kept within its objectives
    Demo {
        /// Nodes of the cluster, 1 or 2
        #[arg(long, default_value_t = 1)]
        nodes: u8,
    },
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
        Verb::Demo { nodes } => plimsoll_e2e::demo::run(nodes),
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
