//! The operator's configuration file: Prometheus sources and settings of balancers.

use std::{num::NonZeroUsize, path::Path};

use serde::Deserialize;
use thiserror::Error;

use crate::{
    actuate::balancer::{Images, NetworkRules, Setup},
    input::{typed, yaml},
    kpi::SourceConfig,
};
use plimsoll_api::{BalancerContainer, BalancerPod};

/// The file given by `--config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Prometheus sources; each KPI refers to one by name.
    #[serde(default)]
    pub sources: Vec<SourceConfig>,
    /// Settings of balancers; without them, the operator runs none.
    #[serde(default)]
    pub balancers: Option<Balancers>,
}

/// Settings of the balancers' pods.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Balancers {
    /// Image with this program, for the agent.
    pub agent_image: String,
    /// Image of HAProxy 2.6 or newer.
    pub haproxy_image: String,
    /// Image of NGINX 1.22 or newer.
    pub nginx_image: String,
    /// Defaults of `spec.traffic.pod`.
    #[serde(default)]
    pub pod: BalancerPod,
    /// Defaults of `spec.traffic.container`.
    #[serde(default)]
    pub container: BalancerContainer,
    /// Allowed clients of balancers; without it there is no NetworkPolicy.
    #[serde(default)]
    pub network_policy: Option<NetworkRules>,
    /// Maximum number of services whose balancers are rolled out at the same time after an upgrade; 2 by default.
    #[serde(default = "concurrent_rollouts")]
    pub max_concurrent_rollouts: NonZeroUsize,
}

fn concurrent_rollouts() -> NonZeroUsize {
    NonZeroUsize::new(Setup::CONCURRENT_ROLLOUTS).unwrap_or(NonZeroUsize::MIN)
}

impl From<Balancers> for Setup {
    fn from(given: Balancers) -> Self {
        let Balancers { agent_image, haproxy_image, nginx_image, pod, container, network_policy, .. } = given;
        let images = Images { agent: agent_image, haproxy: haproxy_image, nginx: nginx_image };
        let concurrent_rollouts = given.max_concurrent_rollouts.get();
        Self { images, pod, container, network_policy, concurrent_rollouts }
    }
}

/// Why the configuration is rejected.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file is invalid.
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
    use super::{Config, Images, Setup};

    #[test]
    fn an_error_in_the_file_is_one_sentence_that_names_the_field() {
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
            ("sources: []\nsources: []", "sources is set twice; it must be set once"),
            ("sources: [\n", "line 1, column 10: this is not YAML: a comma or ] is missing"),
            ("sources: []\n---\nsources: []", "the file has 2 documents; it must have one"),
        ] {
            assert_eq!(Config::parse(yaml.as_bytes()).unwrap_err(), sentence, "{yaml}");
        }
        assert!(Config::parse(b"# nothing\n").unwrap().sources.is_empty());
    }

    /// `cargo xtask test` compares the file with what the chart renders.
    #[test]
    fn the_chart_s_full_configuration_is_accepted() {
        let rendered = include_str!("../../charts/plimsoll/tests/full-config.yaml");
        let map: k8s_openapi::api::core::v1::ConfigMap = serde_saphyr::from_str(rendered).unwrap();
        let config = Config::parse(map.data.unwrap()["config.yaml"].as_bytes()).unwrap();
        assert_eq!(config.sources.len(), 2);
        let setup = Setup::from(config.balancers.unwrap());
        assert_eq!(setup.images.haproxy, "registry.example.com/mirror/haproxy:3.2");
        assert_eq!(setup.images.nginx, "registry.example.com/nginx:1.28", "the image names its own registry");
        assert_eq!(setup.pod.image_pull_secrets.unwrap()[0].name, "registry-example", "from the chart");
        assert_eq!(setup.pod.security_context.unwrap().run_as_user, None, "OpenShift assigns one");
        assert_eq!(setup.network_policy.unwrap().metrics_from.len(), 1);
    }

    #[test]
    fn the_chart_s_default_images_use_the_registry_of_its_values() {
        let rendered = include_str!("../../charts/plimsoll/tests/traffic-config.yaml");
        let map: k8s_openapi::api::core::v1::ConfigMap = serde_saphyr::from_str(rendered).unwrap();
        let config = Config::parse(map.data.unwrap()["config.yaml"].as_bytes()).unwrap();
        let Images { agent, haproxy, nginx } = Setup::from(config.balancers.unwrap()).images;
        for (image, name) in [(agent, "plimsoll-dev/plimsoll"), (haproxy, "haproxy"), (nginx, "nginx")] {
            assert!(image.starts_with(&format!("registry.example.com/mirror/{name}:")), "{image}");
        }
    }

    #[test]
    fn balancers_have_defaults_for_everything_except_images() {
        let images = "agentImage: a, haproxyImage: b, nginxImage: c";
        let setup = |more: &str| {
            let config = Config::parse(format!("balancers: {{{images}{more}}}").as_bytes())?;
            Ok::<_, String>(Setup::from(config.balancers.unwrap()))
        };
        let plain = setup("").unwrap();
        assert_eq!(plain, Setup::of(plain.images.clone()));
        let all = setup(
            ", pod: {priorityClassName: edge, securityContext: {runAsNonRoot: true}}, maxConcurrentRollouts: 5, \
             container: {resources: {limits: {memory: 1Gi, cpu: 2}}}, networkPolicy: {metricsFrom: [{podSelector: {}}]}",
        )
        .unwrap();
        assert_eq!(all.pod.priority_class_name.as_deref(), Some("edge"));
        assert_eq!(all.container.resources.unwrap().limits.len(), 2);
        assert_eq!(all.network_policy.unwrap().metrics_from.len(), 1);
        assert_eq!(all.concurrent_rollouts, 5);
        assert!(setup(", maxConcurrentRollouts: 0").unwrap_err().contains("maxConcurrentRollouts"));
    }
}
