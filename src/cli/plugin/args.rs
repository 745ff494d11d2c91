//! The arguments of `kubectl plimsoll`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::style::Style;

/// Why a service has as many replicas as it has, and what would change that.
#[derive(Debug, Parser)]
#[command(name = "kubectl-plimsoll", bin_name = "kubectl plimsoll", version, propagate_version = false)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// Namespace; the context's by default
    #[arg(short, long, global = true, value_name = "NS")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Kubeconfig file; $KUBECONFIG or ~/.kube/config by default
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Colours: auto is on a terminal, unless $NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every ScalableService in a line, or one in full
    Status(Status),
    /// Why this many replicas, and what would change it
    Explain(Explain),
    /// Send the requests of a service to one of its backends
    Failover(MoveTo),
    /// Leave the requests of a service where they are, whatever happens
    Freeze(Freeze),
    /// Let the evidence decide again where requests go
    Unfreeze(Unfreeze),
    /// Version of this plugin
    Version,
}

#[derive(Debug, clap::Args)]
pub struct Status {
    /// One service, as NAME or ssvc/NAME; all of the namespace by default
    #[arg(value_parser = service_name, conflicts_with = "all_namespaces")]
    pub name: Option<String>,
    /// Those of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Go on and show every change
    #[arg(short, long)]
    pub watch: bool,
}

impl Status {
    /// How to show it.
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
    /// primary, or the name of one of spec.failover.backends
    #[arg(long, value_name = "BACKEND")]
    pub to: String,
}

#[derive(Debug, clap::Args)]
pub struct Freeze {
    /// The service, as NAME or ssvc/NAME
    #[arg(value_parser = service_name)]
    pub name: String,
    /// The reason, which status and `explain` show
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

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
}

const KINDS: [&str; 4] = ["ssvc", "scalableservice", "scalableservices", "scalableservices.plimsoll.dev"];

/// `checkout`, `ssvc/checkout`: the name, if it is that of a ScalableService.
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
    fn the_arguments_are_sound() {
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
    fn flags_stand_where_a_kubectl_user_puts_them() {
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
