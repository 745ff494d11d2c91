//! Causes of a query without a usable answer, each with a sentence, a metric label, and its effect on the breaker.

use thiserror::Error;

use super::breaker::Outcome;

/// Most characters of a server's text in a message.
const TEXT_MAX: usize = 300;

/// Why a query has no usable answer. The display text completes a sentence that begins with the source's name.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Failure {
    /// The connection failed or broke.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// The deadline passed before the whole answer arrived.
    #[error("did not answer within {0} s")]
    TimedOut(f64),
    /// The deadline passed before the query could be sent.
    #[error("is busy: the query waited {seconds} s for one of {slots} slots (maxConcurrency)")]
    Queued {
        /// Time it waited.
        seconds: f64,
        /// Limit of concurrent queries.
        slots: usize,
    },
    /// The deadline passed before the query could be sent, since other queries of the same service were running.
    #[error(
        "gets too many queries from this service: the query waited {seconds} s for one of the {slots} slots per service (half of maxConcurrency)"
    )]
    ServiceLimit {
        /// Time it waited.
        seconds: f64,
        /// Limit of concurrent queries of one service.
        slots: usize,
    },
    /// The breaker is open.
    #[error("gets no queries for {seconds:.1} s after {failures} failures in a row; the last: {last}")]
    Resting {
        /// Rest of the pause.
        seconds: f64,
        /// Failures since the last answer.
        failures: u32,
        /// The last failure.
        last: String,
    },
    /// A file with credentials can't be used.
    #[error("can't be queried: {0}")]
    Credentials(String),
    /// HTTP 401 or 403.
    #[error("refused the credentials with HTTP {status}: {text}")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// The server's text.
        text: String,
    },
    /// HTTP 404, 405, 410 or a redirect: no Prometheus at this URL.
    #[error("has no query API at its url (HTTP {status}): {text}")]
    NotPrometheus {
        /// The status.
        status: u16,
        /// The server's text.
        text: String,
    },
    /// HTTP 429.
    #[error("is rate limiting queries (HTTP 429): {0}")]
    Throttled(String),
    /// HTTP 5xx, or another status without an answer to the query.
    #[error("failed with HTTP {status}: {text}")]
    Server {
        /// The status.
        status: u16,
        /// The server's text.
        text: String,
    },
    /// The server understood the query and refused or aborted it.
    #[error("refused the query ({kind}): {text}")]
    Refused {
        /// Prometheus' `errorType`: bad_data, execution, timeout, canceled, …
        kind: String,
        /// The server's text.
        text: String,
    },
    /// The answer exceeds a size limit.
    #[error("returned more than {0}; aggregate in the query, for example with sum()")]
    TooLarge(&'static str),
    /// The answer does not follow the API.
    #[error("returned an invalid answer: {0}")]
    Malformed(String),
}

impl Failure {
    /// The value of the label `result` in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::Queued { .. } | Self::ServiceLimit { .. } => "queued",
            Self::Resting { .. } => "resting",
            Self::Credentials(_) => "credentials",
            Self::Unauthorized { .. } => "unauthorized",
            Self::NotPrometheus { .. } => "not_prometheus",
            Self::Throttled(_) => "throttled",
            Self::Server { .. } => "server_error",
            Self::Refused { .. } => "refused",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
        }
    }

    /// Its effect on the breaker. A bad query of one service must not open the breaker for all others.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            // 504 means the same, from a proxy in front of the source.
            Self::TimedOut(_) | Self::Server { status: 504, .. } => Outcome::Unanswered,
            Self::Unreachable(_) | Self::Throttled(_) | Self::Server { .. } | Self::Malformed(_) => {
                Outcome::Failed
            }
            Self::Queued { .. } | Self::ServiceLimit { .. } | Self::Resting { .. } | Self::Credentials(_) => {
                Outcome::Nothing
            }
            Self::Unauthorized { .. }
            | Self::NotPrometheus { .. }
            | Self::Refused { .. }
            | Self::TooLarge(_) => Outcome::Answered,
        }
    }
}

/// A server's text as one line of a message, truncated.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.is_empty() {
        return "no text".to_owned();
    }
    match line.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_servers_text_becomes_one_short_line() {
        assert_eq!(one_line("  <html>\r\n\t<b>Bad\u{a0}Gateway</b> "), "<html> <b>Bad Gateway</b>");
        assert_eq!(one_line(" \n"), "no text");
        assert_eq!(one_line(&"ä".repeat(1000)).chars().count(), 301);
    }
}
