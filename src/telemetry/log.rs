//! Logs to standard error, as text or JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text, for humans.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Logging can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is invalid.
    #[error("the log filter {filter:?} is invalid ({why}); write it like info or info,plimsoll=debug")]
    Filter {
        /// The filter.
        filter: String,
        /// The cause.
        why: String,
    },
}

/// Starts logging with `filter`, in the syntax of `RUST_LOG`: `info,plimsoll=debug`. Returns `false`, and changes nothing, if
/// logging was started before.
///
/// # Errors
/// The filter is invalid.
pub fn init(format: LogFormat, filter: &str) -> Result<bool, LogError> {
    let filter = parse(filter)?;
    let color = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer().with_writer(stderr).with_ansi(color);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    Ok(started.is_ok())
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| LogError::Filter { filter: filter.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_filter_is_refused_with_an_example() {
        for filter in ["info", "", "warn,plimsoll=debug,kube=off"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        let message = parse("plimsoll=loud").unwrap_err().to_string();
        assert!(message.starts_with("the log filter \"plimsoll=loud\" is invalid ("), "{message}");
    }

    #[test]
    fn a_second_start_changes_nothing_and_does_not_panic() {
        assert!(matches!(init(LogFormat::Json, "off"), Ok(true)));
        assert!(matches!(init(LogFormat::Text, "off"), Ok(false)));
    }
}
