//! The operator's configuration file: which Prometheus sources there are, and what balancers are made of.

use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

use crate::{
    actuate::balancer::Images,
    input::{typed, yaml},
    kpi::SourceConfig,
};

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
        /// The field, what was found, what is allowed.
        message: String,
    },
}

impl Config {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|error| ConfigError::Unreadable { path: shown.clone(), error })?;
        Self::parse(&bytes).map_err(|message| ConfigError::NotUnderstood { path: shown, message })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document = yaml::text(bytes).and_then(yaml::document)?;
        typed(&document, "")
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn a_mistake_in_the_file_is_one_plain_sentence_with_its_field() {
        for (yaml, sentence) in [
            ("sources: many", "sources is \"many\"; it must be a list"),
            ("sources: [{name: a}]", "sources[0].url is missing"),
            (
                "sources: [{name: a, url: b, maxConcurrency: few}]",
                "sources[0].maxConcurrency is \"few\"; it must be a whole number",
            ),
            (
                "sources: [{name: a, url: b, timeOut: 5s}]",
                "sources[0].timeOut is not a known field (did you mean timeout?); allowed are name, url, timeout, \
                 staleAfter, maxConcurrency, bearerTokenFile, basicAuth, caFile and headers",
            ),
            ("sources: []\nsources: []", "sources is there twice; it must be there once"),
            ("sources: [\n", "line 1, column 10: this is not YAML: a comma or ] is missing"),
            ("sources: []\n---\nsources: []", "the file has 2 documents; it must have one"),
        ] {
            assert_eq!(Config::parse(yaml.as_bytes()).unwrap_err(), sentence, "{yaml}");
        }
        assert!(Config::parse(b"# nothing\n").unwrap().sources.is_empty());
    }
}
