//! The shell around the engine: it watches, observes, applies and reports. Only its leader writes to the cluster.

mod align;
mod board;
mod capability;
mod config;
mod conflict;
mod context;
mod core;
mod ending;
mod failover;
mod fleet;
mod gateway;
mod index;
mod key;
mod look;
mod operate;
mod outcome;
mod recall;
mod reconcile;
mod recovery;
mod release;
mod report;
mod run;
mod scale;
mod scope;
mod services;
mod state;
mod target;
mod traffic;
mod unwritten;
mod watches;
mod waves;
mod zones;

pub use config::{Config, ConfigError};
pub use operate::{Surroundings, operate};
pub use release::{ReleaseError, ReleaseOptions, release, release_with};
pub use run::{Options, RunError, run};
