//! `load`: an open-loop load generator. Requests start at the planned moments, independent of the
//! results of earlier ones; latency counts from that moment; nothing is retried or omitted.

mod client;
mod failure;
mod report;
mod shape;
#[cfg(test)]
mod tests;
mod tls;
mod trace;

use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use crate::args::LoadArgs;
use crate::signal::Stop;

use self::client::Target;
use self::report::{Failure, Outcome, Report, Summary};
use self::shape::Plan;
use self::tls::Tls;
use self::trace::Replay;

/// Requests start in bursts of at most this size, so that answers are read in between.
const BURST: u32 = 64;

/// Runs the plan to its end or until stopped; writes a line each second and the summary.
pub async fn run(args: LoadArgs, stop: Stop) -> anyhow::Result<()> {
    let plan = plan(&args)?;
    allow_files(u64::from(args.max_in_flight) * 2 + 64);
    let summary = drive(&args, &plan, &stop, write_line).await?;
    write_line(&SummaryLine { summary })
}

#[derive(Serialize)]
struct SummaryLine {
    summary: Summary,
}

fn plan(args: &LoadArgs) -> anyhow::Result<Plan> {
    match (&args.shape, &args.trace, args.peak) {
        (Some(shape), ..) => Plan::parse(shape).map_err(|error| anyhow!(error)),
        (None, Some(path), Some(peak)) => {
            let replay = Replay { speedup: args.speedup, peak, start: args.start, duration: args.duration };
            trace::load(path, replay)
        }
        _ => Err(anyhow!("one of --shape, or --trace with --peak, is needed")),
    }
}

/// Shared by the tasks of a run.
struct Run {
    targets: Vec<Target>,
    report: Mutex<Report>,
    timeout: Duration,
}

impl Run {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request that is due at `due`, to the targets in turn.
    async fn request(self: Arc<Self>, turn: usize, due: Instant) {
        let Some(target) = self.targets.get(turn % self.targets.len()) else { return };
        let (outcome, connection) = match timeout_at(due + self.timeout, target.exchange()).await {
            Ok(Ok((code, connection))) => (Outcome::Answered(code), connection),
            Ok(Err(failure)) => (Outcome::Failed(failure), None),
            Err(_) => (Outcome::Failed(Failure::Timeout), None),
        };
        self.report().end(outcome, due.elapsed());
        if let Some(connection) = connection {
            target.keep(connection).await;
        }
    }
}

async fn drive(
    args: &LoadArgs,
    plan: &Plan,
    stop: &Stop,
    mut write: impl FnMut(&report::Line) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let tls = args.ca.as_deref().map(|ca| Tls::new(ca, args.server_name.as_deref())).transpose()?;
    let target =
        |url| Target::new(url, args.method.clone(), &args.headers, args.requests_per_connection, tls.clone());
    let run = Arc::new(Run {
        targets: args.targets.iter().map(target).collect::<Result<_, _>>()?,
        report: Mutex::new(Report::new(args.objective)?),
        timeout: args.timeout,
    });
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(plan.seconds());
    let mut ended = None;
    let mut arrivals = plan.arrivals(args.arrivals, args.seed).enumerate().peekable();
    let mut seconds = interval_at(start + Duration::from_secs(1), Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut t = 0;
    loop {
        let due =
            arrivals.peek().map(|(_, at)| start + Duration::from_secs_f64(*at)).filter(|_| ended.is_none());
        tokio::select! {
            biased;
            _ = seconds.tick() => {
                t += 1;
                write_second(&run, plan, t, ended.map(|at: Instant| at - start), &mut write)?;
                // The last second is complete when the plan and all requests are over.
                if ended.is_some() && run.report().in_flight() == 0 {
                    break;
                }
            }
            () = stop.requested(), if ended.is_none() => ended = Some(Instant::now()),
            () = sleep_until(due.unwrap_or(end)), if ended.is_none() => {
                for _ in 0..BURST {
                    let now = Instant::now();
                    match arrivals.next_if(|(_, at)| start + Duration::from_secs_f64(*at) <= now) {
                        Some((turn, at)) => begin(&run, turn, start + Duration::from_secs_f64(at), args.max_in_flight),
                        None => break,
                    }
                }
                if Instant::now() >= end && arrivals.peek().is_none() {
                    ended = Some(end);
                }
                tokio::task::yield_now().await;
            }
        }
    }
    let taken = ended.map_or(start.elapsed(), |ended| ended - start);
    let connections = run.targets.iter().map(Target::opened).sum();
    Ok(run.report().summary(taken, plan.requests_until(taken.as_secs_f64()), connections))
}

fn begin(run: &Arc<Run>, turn: usize, due: Instant, most: u32) {
    let mut report = run.report();
    let full = report.in_flight() >= u64::from(most);
    report.start(due.elapsed());
    if full {
        report.end(Outcome::Failed(Failure::ClientLimit), due.elapsed());
    } else {
        tokio::spawn(Arc::clone(run).request(turn, due));
    }
}

fn write_second(
    run: &Run,
    plan: &Plan,
    t: u64,
    ended: Option<Duration>,
    write: &mut impl FnMut(&report::Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let until = |second: u64| {
        let second = second as f64;
        plan.requests_until(ended.map_or(second, |ended| second.min(ended.as_secs_f64())))
    };
    let line = run.report().line(t, until(t) - until(t - 1));
    run.targets.iter().for_each(Target::close_idle);
    write(&line)
}

fn write_line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value)?;
    writeln!(output)?;
    output.flush().context("cannot write the report")
}

/// Raises the soft limit of open files as far as needed and allowed.
fn allow_files(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
    if current.is_some_and(|current| current < wanted) {
        // If this fails, requests without a free descriptor count as `client_resources`.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}
