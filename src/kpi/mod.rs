//! PromQL questions -> samples: asking Prometheus once, and knowing what an answer is worth.
//!
//! `question` understands a query without asking it, `source` says where to ask, `reader` asks through a `transport`,
//! `answer` reads the bytes, `evidence` judges them. Everything but `connection`, `flight`, `history`, `reader`, `slots` and
//! `transport` is pure. What the numbers mean for replicas is the engine's business.

mod answer;
mod breaker;
mod clock;
mod connection;
mod credentials;
mod evidence;
mod failure;
mod flight;
mod history;
mod question;
mod reader;
mod recent;
mod slots;
mod source;
mod transport;

pub use answer::Answer;
pub use breaker::BreakerState;
pub use failure::Failure;
pub use question::{Question, QuestionError};
pub use reader::{KpiReader, QueryObserver, ReaderParts, SourceHealth};
pub use slots::Asker;
pub use source::{BasicAuth, ConfigError, SourceConfig};
pub use transport::{Connect, Request, Transport, connect};
