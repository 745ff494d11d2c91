//! The command line: model to text. Everything but [`plugin`] is pure; only that part knows a client or a terminal.

pub mod age;
pub mod decide;
pub mod explain;
pub mod generate;
pub mod plugin;
pub mod read;
mod recovery;
pub mod status;
pub mod style;
pub mod table;

mod detail;
mod failover;
mod health;
mod traffic;

#[cfg(test)]
mod tests;
