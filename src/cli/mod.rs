//! The command line: objects to text. Everything is pure except [`plugin`], which has the client and the terminal.

pub mod age;
pub mod decide;
pub mod explain;
pub mod filter;
pub mod generate;
pub mod manifest;
pub mod plan;
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
