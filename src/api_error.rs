//! Errors of the API server: a message for users and a label for metrics.

use crate::{lease::WriteError, telemetry::WriteResult};

/// The message of an API server error, without the rest of its Status.
#[must_use]
pub fn message_of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The result, for metrics, of a write that the API server refused or did not answer.
#[must_use]
pub fn result_of(error: &kube::Error) -> WriteResult {
    match error {
        kube::Error::Api(status) => WriteResult::of_status(status.code),
        _ => WriteResult::Error,
    }
}

impl WriteError {
    /// The result of the write, for metrics; `None` if this process does not lead, which is not a failure.
    #[must_use]
    pub fn result(&self) -> Option<WriteResult> {
        match self {
            Self::NotLeading => None,
            Self::Timeout(_) => Some(WriteResult::Timeout),
            Self::Api(error) => Some(result_of(error)),
        }
    }

    /// The error message; for an API server error, the one that [`message_of`] returns.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::NotLeading | Self::Timeout(_) => self.to_string(),
            Self::Api(error) => message_of(error),
        }
    }

    /// The status code of the API server's answer, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::NotLeading | Self::Timeout(_) => None,
        }
    }
}
