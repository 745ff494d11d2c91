//! What can go wrong between the agent and HAProxy.

use std::{io, path::Path};

use super::{
    command::{BadWord, NoPem},
    quote::ConfigError,
    seen::Unreadable,
    socket::SocketError,
};

/// What can go wrong between the agent and HAProxy.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// What is wanted can't be written down.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name can't be put into a command.
    #[error(transparent)]
    Word(#[from] BadWord),
    /// HAProxy's own check refused the configuration; the one before stays.
    #[error("HAProxy refuses the configuration, the one before stays: {0}")]
    Refused(String),
    /// A socket does not answer.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// An answer is not what the manual says.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// No process with the new configuration came up; the one before still serves.
    #[error("HAProxy did not take the new configuration over, the one before serves on: {0}")]
    Reload(String),
    /// A certificate or key is no PEM.
    #[error(transparent)]
    Pem(#[from] NoPem),
    /// HAProxy refuses a certificate; the one before stays.
    #[error("HAProxy refuses the certificate {file}, the one before stays: {answer}")]
    Certificate {
        /// Its file.
        file: String,
        /// HAProxy's words.
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
            Self::Refused(_) => "refused",
            Self::Socket(error) => error.label(),
            Self::Unreadable(_) => "unreadable",
            Self::Reload(_) => "reload",
            Self::Pem(_) | Self::Certificate { .. } => "certificate",
            Self::File { .. } => "file",
        }
    }

    /// Whether HAProxy does not run (yet, or again): to be tried again soon.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Socket(SocketError::Connect { .. } | SocketError::Broken { .. }))
    }

    pub(super) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { verb, path, source }
    }
}
