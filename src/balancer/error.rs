//! What can go wrong between the agent and its balancer.

use std::{io, path::Path};

use super::{
    ConfigError, NoPem,
    haproxy::{BadWord, SocketError, Unreadable},
};

/// What can go wrong between the agent and its balancer.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// What is wanted can't be written down.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name can't be put into a command.
    #[error(transparent)]
    Word(#[from] BadWord),
    /// The balancer's own check refused the configuration; the one before stays.
    #[error("{by} refuses the configuration, the one before stays: {words}")]
    Refused {
        /// HAProxy or NGINX.
        by: &'static str,
        /// What it says.
        words: String,
    },
    /// Neither this spec nor any before it was taken; why.
    #[error("{0}")]
    NotTaken(String),
    /// NGINX does not run, or does not serve yet.
    #[error("NGINX does not run: {0}")]
    Down(String),
    /// A socket does not answer.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// An answer is not what the manual says.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// No process with the new configuration came up; the one before still serves.
    #[error("{by} did not take the new configuration over, the one before serves on: {words}")]
    Reload {
        /// HAProxy or NGINX.
        by: &'static str,
        /// What is known of why.
        words: String,
    },
    /// A certificate or key is no PEM.
    #[error(transparent)]
    Pem(#[from] NoPem),
    /// The balancer refuses a certificate; the one before stays.
    #[error("{by} refuses the certificate {file}, the one before stays: {answer}")]
    Certificate {
        /// HAProxy or NGINX.
        by: &'static str,
        /// Its file.
        file: String,
        /// Its words.
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
    /// A bounded word for metrics.
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

    /// Whether the balancer does not run (yet, or again): to be tried again soon.
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
