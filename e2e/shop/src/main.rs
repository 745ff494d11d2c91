//! The sample shop of the end-to-end cases: a service with a known capacity, a job
//! queue with its workers, an open-loop load generator, and a proxy that makes
//! Prometheus unreachable on demand. This file only parses arguments and dispatches.

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

/// One thread runs the whole role: dozens of these processes share one machine, and the results
/// must not depend on its number of cores. CPU time is burnt on separate threads.
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
    // A thread that burns CPU for a closed connection must not delay the exit.
    runtime.shutdown_background();
    result
}
