//! The operator's configuration file: which Prometheus sources there are, and what balancers are made of.

use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

use crate::{actuate::balancer::Images, kpi::SourceConfig};

/// The file given by `--config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Prometheus sources; a KPI names one of them.
    #[serde(default)]
    pub sources: Vec<SourceConfig>,
    /// Images of balancers; without them, none are run.
    #[serde(default)]
    pub balancers: Option<Balancers>,
}

/// What the pods of balancers are made of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Balancers {
    /// Image with this program, for the agent.
    pub agent_image: String,
    /// Image of HAProxy 2.6 or newer.
    pub haproxy_image: String,
    /// Image of NGINX 1.22 or newer.
    pub nginx_image: String,
}

impl From<Balancers> for Images {
    fn from(balancers: Balancers) -> Self {
        Self { agent: balancers.agent_image, haproxy: balancers.haproxy_image, nginx: balancers.nginx_image }
    }
}

/// Why the configuration can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not understood.
    #[error("{path}: {message}")]
    NotUnderstood {
        /// The path as it was given.
        path: String,
        /// What is wrong, and where.
        message: String,
    },
}

impl Config {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: shown.clone(), error })?;
        serde_saphyr::from_str(&text).map_err(|error| {
            let message =
                error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            ConfigError::NotUnderstood { path: shown, message }
        })
    }
}
