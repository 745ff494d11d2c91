//! The kubectl plugin: arguments, the client, the terminal. The pure modules of [`super`] render the output.
//!
//! It needs get, list and watch on scalableservices, and patch for the annotations of a failover.

mod args;
mod connect;
mod failure;
mod manual_override;
mod output;
mod proxy;
mod screen;
mod view;
mod watch;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;

use self::{
    args::{Args, Command, Explain, Status},
    connect::Cluster,
    failure::Failure,
    screen::Screen,
};
use super::{explain, read::Listed};

/// Runs the plugin with the arguments of the process. Exit codes: 0 success, 1 failure, 2 invalid arguments.
#[must_use]
pub fn run() -> ExitCode {
    let args = Args::parse();
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Output)
        .and_then(|runtime| runtime.block_on(dispatch(&args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe (`| head`), which is no failure.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(args: &Args) -> Result<(), Failure> {
    let mut screen = Screen::new(args.color);
    match &args.command {
        Command::Status(status) => show_status(args, status, &mut screen).await,
        Command::Explain(explain) => show_explanation(args, explain, &mut screen).await,
        Command::Failover(wanted) => {
            screen.append(&manual_override::move_to(&Cluster::connect(args, false).await?, wanted).await?)
        }
        Command::Freeze(wanted) => {
            screen.append(&manual_override::freeze(&Cluster::connect(args, false).await?, wanted).await?)
        }
        Command::Unfreeze(wanted) => {
            screen.append(&manual_override::unfreeze(&Cluster::connect(args, false).await?, wanted).await?)
        }
        Command::Version => screen.append(&format!("kubectl plimsoll {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

async fn show_status(args: &Args, status: &Status, screen: &mut Screen) -> Result<(), Failure> {
    let cluster = Cluster::connect(args, status.all_namespaces).await?;
    let form = output::Form { output: status.output, single: status.name.is_some() };
    let style = status.style(screen.color());
    if status.watch {
        return watch::watch(&cluster, status.name.as_deref(), form, style, screen).await;
    }
    let objects = match &status.name {
        Some(name) => vec![cluster.get(name).await?],
        None => cluster.list().await?,
    };
    if objects.is_empty() && form.is_table() {
        eprintln!("No ScalableServices {}.", cluster.place());
        return Ok(());
    }
    screen.append(&form.render(&objects, Timestamp::now(), &style)?)
}

async fn show_explanation(args: &Args, wanted: &Explain, screen: &mut Screen) -> Result<(), Failure> {
    let cluster = Cluster::connect(args, false).await?;
    let object = cluster.get(&wanted.name).await?;
    screen.append(&explain::render(&Listed::read(&object), Timestamp::now(), &screen.style()))
}
