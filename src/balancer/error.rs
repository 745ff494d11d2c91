//! Errors between the agent and its balancer.

use std::{io, path::Path};

use super::{
    ConfigError, NoPem,
    haproxy::{BadWord, SocketError, Unreadable},
};

/// An error between the agent and its balancer.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The wanted state can't be rendered into a configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name is not valid in a command of HAProxy.
    #[error(transparent)]
    Word(#[from] BadWord),
    /// The balancer's own check refused the configuration; the previous one stays.
    #[error("{by} refuses the configuration, the previous one stays: {words}")]
    Refused {
        /// HAProxy or NGINX.
        by: &'static str,
        /// Its message.
        words: String,
    },
    /// Neither this spec nor any earlier one was applied. The text has the cause.
    #[error("{0}")]
    NotTaken(String),
    /// NGINX does not run or does not serve yet.
    #[error("NGINX does not run: {0}")]
    Down(String),
    /// A socket does not answer.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// An answer is not in the documented format.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// No process started with the new configuration; the previous process still serves.
    #[error("{by} did not start with the new configuration, the previous one still serves: {words}")]
    Reload {
        /// HAProxy or NGINX.
        by: &'static str,
        /// The cause, as far as it is known.
        words: String,
    },
    /// A certificate or key is not PEM.
    #[error(transparent)]
    Pem(#[from] NoPem),
    /// The balancer refuses a certificate; the previous one stays.
    #[error("{by} refuses the certificate {file}, the previous one stays: {answer}")]
    Certificate {
        /// HAProxy or NGINX.
        by: &'static str,
        /// Its file.
        file: String,
        /// Its message.
        answer: String,
    },
    /// A file can't be read or written.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// `read`, `write` or `run`.
        verb: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl DriverError {
    /// Label value for metrics, one of a closed set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Config(error) => error.label(),
            Self::Word(_) => "text",
            Self::Refused { .. } | Self::NotTaken(_) => "refused",
            Self::Socket(error) => error.label(),
            Self::Unreadable(_) => "unreadable",
            Self::Down(_) => "down",
            Self::Reload { .. } => "reload",
            Self::Pem(_) | Self::Certificate { .. } => "certificate",
            Self::File { .. } => "file",
        }
    }

    /// Whether the balancer is not running (yet, or between restarts), so that a retry may succeed soon.
    #[must_use]
    pub fn is_down(&self) -> bool {
        let broken = matches!(self, Self::Socket(SocketError::Connect { .. } | SocketError::Broken { .. }));
        broken || matches!(self, Self::Down(_))
    }

    pub(super) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { verb, path, source }
    }
}
