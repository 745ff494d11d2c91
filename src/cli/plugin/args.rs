//! The arguments of `kubectl plimsoll`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::style::Style;

/// Inspect ScalableServices and override their failover.
#[derive(Debug, Parser)]
#[command(name = "kubectl-plimsoll", bin_name = "kubectl plimsoll", version, propagate_version = false)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// Namespace; that of the context by default
    #[arg(short, long, global = true, value_name = "NS")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Kubeconfig file; $KUBECONFIG or ~/.kube/config by default
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// When to use colours; auto uses them on a terminal unless $NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List ScalableServices, or show one in detail
    Status(Status),
    /// Explain the number of replicas of a service and what would change it
    Explain(Explain),
    /// Send all requests of a service to one of its backends
    Failover(MoveTo),
    /// Stop all switches between the backends of a service
    Freeze(Freeze),
    /// Return a service to automatic failover
    Unfreeze(Unfreeze),
    /// Print the version of this plugin
    Version,
}

#[derive(Debug, clap::Args)]
pub struct Status {
    /// One service, as NAME or ssvc/NAME; all services of the namespace by default
    #[arg(value_parser = service_name, conflicts_with = "all_namespaces")]
    pub name: Option<String>,
    /// List the services of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Watch for changes and show each
    #[arg(short, long)]
    pub watch: bool,
}

impl Status {
    /// The style of the output.
    pub fn style(&self, color: bool) -> Style {
        Style { color, wide: self.output == Output::Wide, all_namespaces: self.all_namespaces }
    }
}

#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The service, as NAME or ssvc/NAME
    #[arg(value_parser = service_name)]
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub struct MoveTo {
    /// The service, as NAME or ssvc/NAME
    #[arg(value_parser = service_name)]
    pub name: String,
    /// primary, or the name of a backend in spec.failover.backends
    #[arg(long, value_name = "BACKEND")]
    pub to: String,
}

#[derive(Debug, clap::Args)]
pub struct Freeze {
    /// The service, as NAME or ssvc/NAME
    #[arg(value_parser = service_name)]
    pub name: String,
    /// The reason, shown by status and explain
    #[arg(long, value_name = "TEXT", default_value = "kubectl plimsoll freeze")]
    pub reason: String,
}

#[derive(Debug, clap::Args)]
pub struct Unfreeze {
    /// The service, as NAME or ssvc/NAME
    #[arg(value_parser = service_name)]
    pub name: String,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
}

const KINDS: [&str; 4] = ["ssvc", "scalableservice", "scalableservices", "scalableservices.plimsoll.dev"];

/// The name in `checkout` or `ssvc/checkout`.
fn service_name(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        None => text,
        Some((kind, name)) if KINDS.contains(&kind.to_lowercase().as_str()) => name,
        Some((kind, _)) => return Err(format!("{kind} is not a ScalableService; write NAME or ssvc/NAME")),
    };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
        return Err(format!("{name:?} is not a name; it must be 1 to 253 of a-z, 0-9, '-' and '.'"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, error::ErrorKind};

    use super::{Args, Command, Output, service_name};

    #[test]
    fn arguments_are_valid_for_clap() {
        Args::command().debug_assert();
    }

    #[test]
    fn names_with_and_without_a_kind() {
        for text in [
            "checkout",
            "ssvc/checkout",
            "ScalableService/checkout",
            "scalableservices.plimsoll.dev/checkout",
        ] {
            assert_eq!(service_name(text), Ok("checkout".to_owned()), "{text}");
        }
        for text in ["deploy/checkout", "", "ssvc/", "ssvc/a/b", "Checkout", "../secrets"] {
            assert!(service_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_are_accepted_before_and_after_the_subcommand() {
        for line in ["-n shop status -o wide", "status -n shop -o wide", "status -owide --namespace=shop"] {
            let args = Args::try_parse_from(["kubectl-plimsoll"].into_iter().chain(line.split(' '))).unwrap();
            assert_eq!(args.namespace.as_deref(), Some("shop"), "{line}");
            assert!(
                matches!(args.command, Command::Status(status) if status.output == Output::Wide),
                "{line}"
            );
        }
    }

    #[test]
    fn a_name_in_all_namespaces_is_refused() {
        let error = Args::try_parse_from(["kubectl-plimsoll", "status", "checkout", "-A"]).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::ArgumentConflict, 2));
        assert!(error.to_string().contains("kubectl plimsoll status"), "{error}");
    }
}
