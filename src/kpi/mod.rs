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
pub use flight::SourceHealth;
pub use parts::{QueryObserver, ReaderParts};
pub use question::{Question, QuestionError};
pub use reader::KpiReader;
pub use slots::Asker;
pub use source::{BasicAuth, ConfigError, SourceConfig};
pub use transport::{Connect, Request, Transport};
