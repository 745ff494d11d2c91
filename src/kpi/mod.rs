//! KPI queries: PromQL in, samples out, each with a state that says how reliable it is.
//!
//! `question` analyzes a query without sending it, `source` has the configuration of a source, `reader` sends queries through
//! a `transport`, `answer` parses the response, and `evidence` assesses it. Everything except `connection`, `flight`,
//! `history`, `reader`, `slots` and `transport` is pure. The engine derives replicas from the samples.

mod answer;
mod breaker;
mod clock;
mod connection;
mod credentials;
mod evidence;
mod failure;
mod flight;
mod health;
mod history;
mod parts;
mod question;
mod reader;
mod recent;
mod slots;
mod source;
mod transport;

pub use answer::Answer;
pub use breaker::BreakerState;
pub use connection::connect;
pub use failure::Failure;
pub use health::SourceHealth;
pub use parts::{QueryObserver, ReaderParts};
pub use question::{Question, QuestionError};
pub use reader::KpiReader;
pub use slots::Asker;
pub use source::{BasicAuth, ConfigError, SourceConfig};
pub use transport::{Connect, Request, Transport};
