//! The command line. Every flag of a role that runs in a pod has an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::duration::{parse as duration, parse_positive as positive};
use crate::http::{parse_target, parse_url};

/// A service, a queue, its workers, a load generator and a fault proxy for Prometheus.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub role: Role,
}

#[derive(Subcommand)]
pub enum Role {
    /// An HTTP service with a fixed number of workers and a bounded queue.
    Serve(ServeArgs),
    /// A job queue in memory.
    Queue(QueueArgs),
    /// A worker that takes jobs from the queue, one at a time.
    Work(WorkArgs),
    /// An open-loop load generator that accounts for every request.
    Load(LoadArgs),
    /// A proxy for Prometheus that closes connections without an answer on demand.
    Proxy(ProxyArgs),
}

#[derive(Args, Clone)]
pub struct ServeArgs {
    #[arg(long, env = "SHOP_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Requests that are served at the same time.
    #[arg(long, env = "SHOP_WORKERS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub workers: u32,
    /// How long one request occupies a worker, on average.
    #[arg(long, env = "SHOP_SERVICE_TIME", default_value = "20ms", value_parser = duration)]
    pub service_time: Duration,
    /// Spread of the service time: uniform within ± this share of it.
    #[arg(long, env = "SHOP_SERVICE_JITTER", default_value = "0.2", value_parser = share)]
    pub service_jitter: f64,
    /// Makes jitter and injected errors repeatable.
    #[arg(long, env = "SHOP_SEED")]
    pub seed: Option<u64>,
    /// Requests that may wait for a worker; one more is immediately answered with 503.
    #[arg(long, env = "SHOP_QUEUE_LIMIT", default_value_t = 100)]
    pub queue_limit: usize,
    /// Not ready for this time after the start: requests are answered with 503.
    #[arg(long, env = "SHOP_STARTUP", default_value = "0s", value_parser = duration)]
    pub startup: Duration,
    /// Share of the service time that is burnt as CPU time.
    #[arg(long, env = "SHOP_CPU_SHARE", default_value = "0", value_parser = share)]
    pub cpu_share: f64,
    /// Called during the work; if it fails (or answers 5xx), the request is answered with 500.
    #[arg(long, env = "SHOP_DOWNSTREAM", value_parser = parse_url)]
    pub downstream: Option<Uri>,
    #[arg(long, env = "SHOP_DOWNSTREAM_TIMEOUT", default_value = "2s", value_parser = positive)]
    pub downstream_timeout: Duration,
    /// How long the service stays unready, but serves, after SIGTERM.
    #[arg(long, env = "SHOP_DRAIN_DELAY", default_value = "5s", value_parser = duration)]
    pub drain_delay: Duration,
    /// Longest time for requests in flight after the drain delay.
    #[arg(long, env = "SHOP_SHUTDOWN_GRACE", default_value = "20s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

#[derive(Args)]
pub struct QueueArgs {
    #[arg(long, env = "SHOP_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// A job that is taken and not done within this time returns to the queue.
    #[arg(long, env = "SHOP_VISIBILITY", default_value = "30s", value_parser = positive)]
    pub visibility: Duration,
}

#[derive(Args)]
pub struct WorkArgs {
    /// The queue to take jobs from.
    #[arg(long, env = "SHOP_QUEUE", value_parser = parse_url)]
    pub queue: Uri,
    /// How long one job takes.
    #[arg(long, env = "SHOP_JOB_TIME", default_value = "200ms", value_parser = duration)]
    pub job_time: Duration,
    /// Pause before an empty or failing queue is polled again.
    #[arg(long, env = "SHOP_POLL_INTERVAL", default_value = "100ms", value_parser = positive)]
    pub poll_interval: Duration,
    #[arg(long, env = "SHOP_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

/// When requests start within the planned rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spacing {
    /// Independent users: exponential gaps.
    Poisson,
    /// Equal gaps.
    Uniform,
}

#[derive(Args)]
#[command(args_override_self = true)]
pub struct LoadArgs {
    /// URL to send requests to; several are used in turn.
    #[arg(long = "target", required = true, value_parser = parse_target)]
    pub targets: Vec<Uri>,
    /// For https: PEM file of the certificate authority to trust.
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// For https: the expected name in the certificate, instead of the target's host.
    #[arg(long, requires = "ca")]
    pub server_name: Option<String>,
    /// Rates in requests/s with durations: `20@30s,20..400@60s,400@20s`.
    #[arg(long, required_unless_present = "trace", conflicts_with_all = ["trace", "start", "duration"])]
    pub shape: Option<String>,
    /// A load trace: CSV with the columns time_s,value.
    #[arg(long, requires = "peak")]
    pub trace: Option<PathBuf>,
    /// Seconds of the trace that are replayed in one second.
    #[arg(long, default_value = "1", value_parser = above_zero, requires = "trace")]
    pub speedup: f64,
    /// Rate in requests/s for the highest value of the replayed part.
    #[arg(long, value_parser = above_zero, requires = "trace")]
    pub peak: Option<f64>,
    /// Where in the trace to begin, in its own time.
    #[arg(long, default_value = "0s", value_parser = duration, requires = "trace")]
    pub start: Duration,
    /// How much of the trace to replay, in its own time; all of it if not given.
    #[arg(long, value_parser = positive, requires = "trace")]
    pub duration: Option<Duration>,
    #[arg(long, value_enum, default_value = "poisson")]
    pub arrivals: Spacing,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// From the intended start of a request to the end of its answer.
    #[arg(long, default_value = "2s", value_parser = positive)]
    pub timeout: Duration,
    /// A request that takes longer, or fails, is late.
    #[arg(long, default_value = "0.25s", value_parser = positive)]
    pub objective: Duration,
    /// Requests on a connection; a new one then lets new pods behind a Service get load.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_connection: u32,
    /// Most requests in flight; one more is not started and counts as the error `client_limit`.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_in_flight: u32,
    #[arg(long, default_value = "GET")]
    pub method: Method,
    /// Header of every request, as `NAME: VALUE`; repeatable (for example `Host`).
    #[arg(long = "header", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Args)]
pub struct ProxyArgs {
    #[arg(long, env = "SHOP_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// Address of the control endpoint, /-/fault: {"mode": "down"} or {"mode": "none"}.
    #[arg(long, env = "SHOP_CONTROL_LISTEN", default_value = "0.0.0.0:9091")]
    pub control_listen: SocketAddr,
    /// The real Prometheus.
    #[arg(long, env = "SHOP_UPSTREAM", value_parser = parse_url)]
    pub upstream: Uri,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a share: a number from 0 to 1 is needed")),
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err(format!("{text:?} is not a number above 0")),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let fail = || format!("{text:?} is not a header: NAME: VALUE is needed");
    let (name, value) = text.split_once(':').ok_or_else(fail)?;
    Ok((name.trim().parse().map_err(|_| fail())?, value.trim().parse().map_err(|_| fail())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_error_of_a_bad_flag_has_the_allowed_values() {
        for (flags, wanted) in [
            (vec!["serve", "--service-jitter", "2"], "from 0 to 1"),
            (vec!["serve", "--workers", "0"], "1..=100000"),
            (vec!["load", "--target", "ftp://x", "--shape", "1@1s"], "http://HOST"),
            (vec!["load", "--target", "http://x", "--trace", "a.csv", "--peak", "nan"], "above 0"),
            (vec!["load", "--target", "http://x", "--trace", "a.csv"], "--peak"),
            (vec!["load", "--target", "http://x"], "--shape"),
            (vec!["load", "--target", "http://x", "--shape", "1@1s", "--header", "x"], "NAME: VALUE"),
        ] {
            let command = std::iter::once("plimsoll-shop").chain(flags.iter().copied());
            let error = Cli::try_parse_from(command).err().expect("refused").to_string();
            assert!(error.contains(wanted), "{flags:?}: {error}");
        }
    }
}
