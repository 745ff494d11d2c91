//! The shell around the engine: it watches, observes, applies and reports. Only its leader writes to the cluster.

mod align;
mod apply;
mod arrivals;
mod balancers;
mod board;
mod config;
mod conflict;
mod context;
mod failover;
mod fleet;
mod gateway;
mod index;
mod leaving;
mod marks;
mod operate;
mod outcome;
mod outliers;
mod recall;
mod reconcile;
mod report;
mod run;
mod scale;
mod services;
mod standbys;
mod state;
mod status;
mod subject;
mod target;
mod watches;
mod waves;
mod zones;

pub use config::{Config, ConfigError};
pub use operate::{Surroundings, operate};
pub use run::{Options, RunError, run};
