//! `plimsoll`: argument parsing only.

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
    cli::{decide, generate, plan},
    controller,
    telemetry::{LogFormat, init_log},
};
use plimsoll_api::Software;

/// A Kubernetes operator for autoscaling by PromQL KPIs and for load balancing.
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
        /// Address of /livez, /readyz and /metrics.
        #[arg(long, default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
        /// Namespaces to work in, separated by commas; all by default.
        #[arg(long, value_delimiter = ',')]
        namespaces: Vec<String>,
        /// Name of this pod, for the lease and for events.
        #[arg(long, env = "POD_NAME", default_value = "plimsoll")]
        pod_name: String,
        /// Namespace of this pod, where the lease is.
        #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
        pod_namespace: String,
        /// Format of log lines.
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
        /// Log filter: a level, or targets with levels as in `info,plimsoll=debug`.
        #[arg(long, default_value = "info")]
        log: String,
    },
    /// Decide without a cluster from observations on standard input, one JSON object per line.
    ///
    /// `time` is in seconds and must not decrease: Unix time if the spec has a schedule, otherwise from any start. `replicas`
    /// is the target's current number of desired replicas. Optional are `readyReplicas` (all by default) and `held`, the
    /// requests that wait at a load balancer for the first replica (0 by default). `kpis` has the value of each KPI of the
    /// spec by name: a number; null if there is no fresh sample; or the reason why there is no number, as
    /// {"state": "Empty"}, with Empty, Stale, Partial, NaN or Error. `onEmpty` applies to Empty.
    ///
    /// Each input line yields one output line: the desired replicas with all reasons, or `error` with the reason why the line
    /// is invalid. The exit code is 1 if the file or a line is invalid. The file is validated as by the API server.
    ///
    /// Example of a line: {"time": 1774657800, "replicas": 4, "kpis": {"throughput": 812.5, "latency": {"state": "Stale"}}}
    Decide {
        /// A YAML file with one ScalableService.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Distribute finite capacity without a cluster: what the CapacityBudgets grant to each ScalableService.
    ///
    /// Reads ScalableServices and CapacityBudgets, and beside them Namespaces (their labels select consumers) and workloads
    /// (their pods' requests consume budgets of cpu, memory and pods). Standard input has one JSON object per line with what is
    /// known at a moment; `time` is in seconds and must not decrease. `services` has, by NAMESPACE/NAME, the replicas that a
    /// service has (`replicas`) and asks for (`wanted`; as many as it has by default), its `pods` if these are more, how many
    /// of them are `ready`, and how many are on which of the `nodes`. `budgets` has the measured `limit` and `used` of budgets with a query or a quota. `nodes` has what is
    /// allocatable on each node, and what pods of `others` request.
    ///
    /// Each input line yields one output line: for each service the replicas that it is granted and those that are achievable,
    /// with reasons, and the state of each budget; or `error` with the reason why the line is invalid. All budgets count as
    /// enforced. The exit code is 1 if a file or a line is invalid. The files are validated as by the API server.
    ///
    /// Example of a line: {"time": 0, "services": {"shop/checkout": {"wanted": 12, "replicas": 4}}, "budgets": {"orders-db":
    /// {"limit": 60, "used": 40}}}
    Plan {
        /// A file, or a directory with files that end with .yaml, .yml or .json. Directories below it are read too; hidden files
        /// and directories are not.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Restore fields that the operator changed on objects of others, such as weights of HTTPRoutes, and remove its finalizer
    /// from all ScalableServices, so that they can be deleted without it.
    ///
    /// The chart runs this after the uninstallation of an operator with load balancers. It waits up to a minute for the
    /// operator's lease.
    Release {
        /// Namespaces that the operator worked in, separated by commas; all by default.
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
    /// The sidecar of each load balancer; the operator starts it.
    #[command(subcommand)]
    LbAgent(LbAgent),
}

#[derive(Subcommand)]
enum LbAgent {
    /// Follow a ScalableService and its endpoints, and configure the load balancer accordingly.
    Run {
        /// The load balancer: HAProxy or NGINX.
        #[arg(long, default_value = "HAProxy")]
        provider: Software,
        /// Name of the ScalableService.
        #[arg(long)]
        service: String,
        /// Namespace of the ScalableService and this pod.
        #[arg(long, env = "POD_NAMESPACE")]
        namespace: String,
        /// Name of this pod, for its entry in status.
        #[arg(long, env = "POD_NAME")]
        pod_name: String,
        /// The directory shared with the load balancer: configuration, certificates, sockets.
        #[arg(long, default_value = "/run/plimsoll")]
        folder: PathBuf,
        /// The directory with the mounted Secrets: those of listeners in `certificates`, those with CA certificates of
        /// standbys in `authorities`, each in a directory of its name.
        #[arg(long, default_value = "/etc/plimsoll")]
        secrets: PathBuf,
        /// Port of /healthz, /startz and /metrics.
        #[arg(long, default_value_t = 9102)]
        port: u16,
        /// Loopback port of the gate, which forwards the first requests when the service starts from zero.
        #[arg(long, default_value_t = 9103)]
        gate_port: u16,
        /// Memory limit of the load balancer's container, in bytes.
        #[arg(long, env = "BALANCER_MEMORY", default_value_t = Resources::default().memory)]
        memory: u64,
        /// CPU limit of the load balancer's container, rounded up.
        #[arg(long, env = "BALANCER_CPUS", default_value_t = Resources::default().cpus)]
        cpus: NonZeroU32,
        /// Format of log lines.
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
        /// Log filter: a level, or targets with levels as in `info,plimsoll=debug`.
        #[arg(long, default_value = "info")]
        log: String,
    },
    /// Copy this program to PATH.
    Install {
        /// The file to create.
        path: PathBuf,
    },
    /// Run NGINX as the first process of its container, serve its health check, and report its processes to the agent.
    Supervise {
        /// The directory shared with the agent.
        #[arg(long, default_value = "/run/plimsoll")]
        folder: PathBuf,
        /// Port of /healthz.
        #[arg(long, default_value_t = HEALTH_PORT)]
        port: u16,
        /// Loopback port where NGINX reports its configuration and state.
        #[arg(long, default_value_t = nginx::OWN_PORT)]
        nginx_port: u16,
    },
    /// Drain the load balancer: the preStop hook of its container.
    Stop {
        /// The load balancer: HAProxy or NGINX.
        #[arg(long, default_value = "HAProxy")]
        provider: Software,
        /// The directory shared with it.
        #[arg(long, default_value = "/run/plimsoll")]
        folder: PathBuf,
        /// Time limit, such as 50s.
        #[arg(long, default_value = "50s")]
        within: kube::core::Duration,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        // A reader that closed the pipe (`| head`) is not an error.
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
            // The only error is that a provider is installed already, which is fine.
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
        Verb::Plan { file } => {
            let files = plan::Files::read(&file)?;
            let unusable = plan::run(&files, io::stdin().lock(), io::stdout().lock())?;
            Ok(if unusable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Release { namespaces, pod_name, pod_namespace } => {
            init_log(LogFormat::Text, "info")?;
            // The only error is that a provider is installed already, which is fine.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let options = controller::ReleaseOptions { namespaces, pod_name, pod_namespace };
            let released = tokio::runtime::Runtime::new()?.block_on(controller::release(options))?;
            println!("released {released} ScalableServices");
            Ok(ExitCode::SUCCESS)
        }
        Verb::Crds => {
            for (_, crd) in generate::crds()? {
                print!("---\n{crd}");
            }
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
            // The only error is that a provider is installed already, which is fine.
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
