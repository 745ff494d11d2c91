//! The sample shop of the end-to-end proofs: a service whose physics are known, a job
//! queue with its workers, an open-loop load generator, and a proxy that makes a
//! Prometheus unreachable on demand. Argument parsing and hand-over, nothing else.

mod args;
mod duration;
mod exposition;
mod http;
mod load;
mod proxy;
mod queue;
mod serve;
mod signal;
mod work;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Role};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plimsoll-shop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread runs the whole role: dozens of these processes share one machine, and what is
/// measured must not depend on how many cores it has. CPU is burnt on threads beside it.
fn run(role: Role) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let stop = signal::Stop::on_signals()?;
        match role {
            Role::Serve(args) => serve::run(args, stop).await,
            Role::Queue(args) => queue::run(args, stop).await,
            Role::Work(args) => work::run(args, stop).await,
            Role::Load(args) => load::run(args, stop).await,
            Role::Proxy(args) => proxy::run(args, stop).await,
        }
    });
    // A thread that still burns CPU for a client that has gone must not hold the exit back.
    runtime.shutdown_background();
    result
}
