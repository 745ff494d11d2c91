//! Why there is no usable answer: one closed set, with a sentence, a metric label and whose fault it is.

use thiserror::Error;

use super::breaker::Outcome;

/// Longest text of a server that is passed on, in characters.
const TEXT_MAX: usize = 300;

/// Why a query brought no usable answer. Displayed, it completes a sentence that begins with the source's name.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Failure {
    /// No connection, or it broke.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// The deadline passed before the whole answer was there.
    #[error("did not answer within {0} s")]
    TimedOut(f64),
    /// The deadline passed before the query could be sent.
    #[error("is busy: the query waited {seconds} s for one of {slots} slots (maxConcurrency)")]
    Queued {
        /// How long it waited.
        seconds: f64,
        /// How many queries may be out at once.
        slots: usize,
    },
    /// The deadline passed before the query could be sent, since other queries of the same service were out.
    #[error(
        "is asked too much by this service: the query waited {seconds} s for one of the {slots} slots that a service may have (half of maxConcurrency)"
    )]
    Crowded {
        /// How long it waited.
        seconds: f64,
        /// How many queries of one service may be out at once.
        slots: usize,
    },
    /// The breaker is open.
    #[error("is not asked for another {seconds:.1} s after {failures} failures in a row; the last: {last}")]
    Resting {
        /// What is left of the pause.
        seconds: f64,
        /// Failures since the last answer.
        failures: u32,
        /// The last of them.
        last: String,
    },
    /// A file with credentials can't be used.
    #[error("can't be asked: {0}")]
    Credentials(String),
    /// HTTP 401 or 403.
    #[error("refused the credentials with HTTP {status}: {text}")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// What the server said.
        text: String,
    },
    /// HTTP 404, 405 or a redirect: something else lives at this URL.
    #[error("has no query API at its url (HTTP {status}): {text}")]
    NotPrometheus {
        /// The status.
        status: u16,
        /// What the server said.
        text: String,
    },
    /// HTTP 429.
    #[error("has too many queries (HTTP 429): {0}")]
    Throttled(String),
    /// HTTP 5xx, or another status that is no answer to a query.
    #[error("failed with HTTP {status}: {text}")]
    Server {
        /// The status.
        status: u16,
        /// What the server said.
        text: String,
    },
    /// The server understood and refused or gave up this query.
    #[error("refused the query ({kind}): {text}")]
    Refused {
        /// Prometheus' `errorType`: bad_data, execution, timeout, canceled, …
        kind: String,
        /// What the server said.
        text: String,
    },
    /// The answer was larger than what is read.
    #[error("gave an answer of more than {0}; aggregate it in the query, for example by sum()")]
    TooLarge(&'static str),
    /// The answer is not what the API promises.
    #[error("gave an answer that is not the query API's: {0}")]
    Malformed(String),
}

impl Failure {
    /// The value of the label `result` in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::Queued { .. } | Self::Crowded { .. } => "queued",
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

    /// What it says of the source: one service's bad query must not close the source for all others.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            // 504 is the same, told by a proxy in front of the source.
            Self::TimedOut(_) | Self::Server { status: 504, .. } => Outcome::Unanswered,
            Self::Unreachable(_) | Self::Throttled(_) | Self::Server { .. } | Self::Malformed(_) => {
                Outcome::Failed
            }
            Self::Queued { .. } | Self::Crowded { .. } | Self::Resting { .. } | Self::Credentials(_) => {
                Outcome::Nothing
            }
            Self::Unauthorized { .. }
            | Self::NotPrometheus { .. }
            | Self::Refused { .. }
            | Self::TooLarge(_) => Outcome::Answered,
        }
    }
}

/// A server's text, fit for one line of a message.
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
