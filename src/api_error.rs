//! What a failed request to the API server says, in words for people and as a label for metrics.

use crate::{lease::WriteError, telemetry::WriteResult};

/// What an error of the API server says, without the whole Status that it comes in.
#[must_use]
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// How a write ended that the API server refused or did not answer.
#[must_use]
pub fn result_of(error: &kube::Error) -> WriteResult {
    match error {
        kube::Error::Api(status) => WriteResult::of_status(status.code),
        _ => WriteResult::Error,
    }
}

impl WriteError {
    /// How the write ended, for metrics; `None` if this process does not lead, which is no failure.
    #[must_use]
    pub fn result(&self) -> Option<WriteResult> {
        match self {
            Self::NotLeading => None,
            Self::Timeout(_) => Some(WriteResult::Timeout),
            Self::Api(error) => Some(result_of(error)),
        }
    }

    /// What went wrong, as [`said`] has it for an error of the API server.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::NotLeading | Self::Timeout(_) => self.to_string(),
            Self::Api(error) => said(error),
        }
    }

    /// The status code that the API server answered with, if it did.
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
