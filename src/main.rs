//! `plimsoll`: argument parsing and hand-over, nothing else.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use plimsoll::{
    balancer::{HEALTH_PORT, Resources, agent, any_address, nginx},
    cli::{decide, generate},
    controller,
    telemetry::{LogFormat, init_log},
};
use plimsoll_api::Software;

/// Keeps every service of a Kubernetes cluster above its load line.
#[derive(Parser)]
#[command(name = "plimsoll", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the operator: watch ScalableServices and scale their targets.
    Controller {
        /// The configuration file with the Prometheus sources.
        #[arg(long, default_value = "/etc/plimsoll/config.yaml")]
        config: PathBuf,
        /// Where to serve /livez, /readyz and /metrics.
        #[arg(long, default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
        /// Work in these namespaces only, separated by commas; all by default.
        #[arg(long, value_delimiter = ',')]
        namespaces: Vec<String>,
        /// Name of this pod, for the lease and for events.
        #[arg(long, env = "POD_NAME", default_value = "plimsoll")]
        pod_name: String,
        /// Namespace of this pod, where the lease is.
        #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
        pod_namespace: String,
        /// How log lines look.
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
        /// Which log lines there are: a level, or targets with levels as in `info,plimsoll=debug`.
        #[arg(long, default_value = "info")]
        log: String,
    },
    /// Decide from observations on standard input, one JSON object a line, without a cluster.
    ///
    /// A line has `time` in seconds, never before the line above: Unix time if the spec has a schedule, from any start if it
    /// has none. It has `replicas`, those that are wanted now, and may have `readyReplicas` (all by default) and `held`, the
    /// requests that wait at a load balancer for the first replica (0 by default). `kpis` has the answer for each KPI of the
    /// spec by its name: a number; null, if there is no fresh sample; or why there is no number, as {"state": "Empty"}, with
    /// Empty, Stale, Partial, NaN or Error. Empty is what `onEmpty` is for.
    ///
    /// Each line is answered by one line: the replicas to have with every reason, or `error` with what is wrong with the
    /// line. The exit code is 1 if the file or a line could not be used. The file is checked as the API server would check it.
    ///
    /// An example of a line: {"time": 1774657800, "replicas": 4, "kpis": {"throughput": 812.5, "latency": {"state": "Stale"}}}
    Decide {
        /// A YAML file with one ScalableService.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Put back what the operator changed outside of its own objects, such as weights of HTTPRoutes, and remove its finalizer
    /// from all ScalableServices, so that they can be deleted without it.
    ///
    /// The chart runs this after an operator with load balancers was uninstalled. It waits up to a minute for the operator's
    /// lease.
    Release {
        /// The namespaces that the operator worked in, separated by commas; all by default.
        #[arg(long, value_delimiter = ',')]
        namespaces: Vec<String>,
        /// Name of this pod, for the lease.
        #[arg(long, env = "POD_NAME", default_value = "plimsoll-release")]
        pod_name: String,
        /// The operator's namespace, where the lease is.
        #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
        pod_namespace: String,
    },
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
    /// What runs beside each load balancer; the operator starts it.
    #[command(subcommand)]
    LbAgent(LbAgent),
}

#[derive(Subcommand)]
enum LbAgent {
    /// Follow a ScalableService and its endpoints, and keep what balances as they want it.
    Run {
        /// What balances: HAProxy or NGINX.
        #[arg(long, default_value = "HAProxy")]
        provider: Software,
        /// Name of the ScalableService.
        #[arg(long)]
        service: String,
        /// Namespace of the ScalableService and of this pod.
        #[arg(long, env = "POD_NAMESPACE")]
        namespace: String,
        /// Name of this pod, for its entry in status.
        #[arg(long, env = "POD_NAME")]
        pod_name: String,
        /// The folder that is shared with what balances: configuration, certificates, sockets.
        #[arg(long, default_value = "/run/plimsoll")]
        folder: PathBuf,
        /// The mounted Secrets: those of listeners in `certificates`, those with authorities of standbys in `authorities`,
        /// each in a folder of its name.
        #[arg(long, default_value = "/etc/plimsoll")]
        secrets: PathBuf,
        /// Port of /healthz, /startz and /metrics.
        #[arg(long, default_value_t = 9102)]
        port: u16,
        /// Port on the loopback that takes the first request of a start from zero.
        #[arg(long, default_value_t = 9103)]
        gate_port: u16,
        /// Limit of memory of the container of what balances, in bytes.
        #[arg(long, env = "BALANCER_MEMORY", default_value_t = Resources::default().memory)]
        memory: u64,
        /// Limit of CPUs of the container of what balances, rounded up.
        #[arg(long, env = "BALANCER_CPUS", default_value_t = Resources::default().cpus)]
        cpus: NonZeroU32,
        /// How log lines look.
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
        /// Which log lines there are: a level, or targets with levels as in `info,plimsoll=debug`.
        #[arg(long, default_value = "info")]
        log: String,
    },
    /// Copy this program to PATH.
    Install {
        /// The file to be made.
        path: PathBuf,
    },
    /// Run NGINX as the first process of its container, answer its health check, and let the agent know of its processes.
    Supervise {
        /// The folder that is shared with the agent.
        #[arg(long, default_value = "/run/plimsoll")]
        folder: PathBuf,
        /// Port of /healthz.
        #[arg(long, default_value_t = HEALTH_PORT)]
        port: u16,
        /// Port on the loopback where NGINX tells what it serves.
        #[arg(long, default_value_t = nginx::OWN_PORT)]
        nginx_port: u16,
    },
    /// Let what balances finish what it has: its container's preStop hook.
    Stop {
        /// What balances: HAProxy or NGINX.
        #[arg(long, default_value = "HAProxy")]
        provider: Software,
        /// The folder that is shared with it.
        #[arg(long, default_value = "/run/plimsoll")]
        folder: PathBuf,
        /// The longest time that it may take, as 50s.
        #[arg(long, default_value = "50s")]
        within: kube::core::Duration,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        // A reader that went away (`| head`) is not an error.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("plimsoll: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match arguments.verb {
        Verb::Controller { config, listen, namespaces, pod_name, pod_namespace, log_format, log } => {
            init_log(log_format, &log)?;
            // The only error is that a provider is there already, which does as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let options = controller::Options { config, listen, namespaces, pod_name, pod_namespace };
            tokio::runtime::Runtime::new()?.block_on(controller::run(options))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Decide { file } => {
            let spec = decide::read_service(&file)?;
            let unusable =
                decide::run(&spec, io::stdin().lock(), io::stdout().lock()).map_err(|error| match error {
                    decide::DecideError::Stream(error) => Box::<dyn std::error::Error>::from(error),
                    other => other.into(),
                })?;
            Ok(if unusable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Release { namespaces, pod_name, pod_namespace } => {
            init_log(LogFormat::Text, "info")?;
            // The only error is that a provider is there already, which does as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let options = controller::ReleaseOptions { namespaces, pod_name, pod_namespace };
            let released = tokio::runtime::Runtime::new()?.block_on(controller::release(options))?;
            println!("released {released} ScalableServices");
            Ok(ExitCode::SUCCESS)
        }
        Verb::Crds => {
            print!("{}", generate::crd_yaml()?);
            Ok(ExitCode::SUCCESS)
        }
        Verb::LbAgent(verb) => lb_agent(verb),
    }
}

fn lb_agent(verb: LbAgent) -> Result<ExitCode, Box<dyn std::error::Error>> {
    // One thread: it shares a pod's few millicores, and each further thread takes memory.
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    match verb {
        LbAgent::Run {
            provider,
            service,
            namespace,
            pod_name,
            folder,
            secrets,
            port,
            gate_port,
            memory,
            cpus,
            log_format,
            log,
        } => {
            init_log(log_format, &log)?;
            // The only error is that a provider is there already, which does as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let pod = pod_name;
            let software = provider;
            let resources = Resources { memory, cpus, ..Resources::default() }.with_own_descriptors();
            let options = agent::AgentOptions {
                software,
                namespace,
                service,
                pod,
                folder,
                secrets,
                port,
                gate_port,
                resources,
            };
            runtime()?.block_on(agent::run(options))?;
        }
        LbAgent::Install { path } => agent::install(&path)?,
        LbAgent::Supervise { folder, port, nginx_port } => {
            let own = (Ipv4Addr::LOCALHOST, nginx_port).into();
            let places = nginx::Paths::in_folder(&folder);
            let paths = nginx::Paths { listen: any_address(), health: port, own, ..places };
            return Ok(runtime()?.block_on(nginx::supervise(&paths))?);
        }
        LbAgent::Stop { provider, folder, within } => {
            runtime()?.block_on(agent::stop(provider, &folder, within.into()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
