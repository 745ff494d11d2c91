//! The environment of the cases: a cluster with Plimsoll, installed by its chart, and the sample shop.

mod build;
mod dial;
mod gateway;
mod load;
mod prometheus;
mod service;
mod shop;
mod sticky;
mod streams;

pub use build::{Built, Profile, release};
pub use dial::Dial;
pub use gateway::GatewayStandIn;
pub use load::{Load, Second, Summary};
pub use prometheus::{FaultProxy, Prometheus};
pub use service::scalable_service;
pub use shop::{Queue, Shop, idle_deployment, idle_pods, queue, service_url};
pub use sticky::{Client, StickyClients, Visit};
pub use streams::{Stream, Streams};

use crate::{
    cluster::{Cluster, Image, Options},
    prelude::*,
    process::finish,
};

pub const OPERATOR_NAMESPACE: &str = "plimsoll-system";

pub struct Stage {
    pub cluster: Cluster,
    pub built: Built,
}

#[derive(Debug, Clone)]
pub struct Install {
    pub sources: Vec<(&'static str, &'static str)>,
    /// Age in seconds above which a sample of these sources is stale.
    pub stale_after: u32,
    pub replicas: u8,
    pub settings: Vec<String>,
}

impl Default for Install {
    fn default() -> Self {
        Self {
            sources: vec![("default", "http://prometheus.monitoring:9090")],
            stale_after: 15,
            replicas: 2,
            settings: Vec::new(),
        }
    }
}

impl Stage {
    /// Creates the cluster if necessary, builds the images, and installs or upgrades the chart.
    pub fn set(options: &Options, install: &Install, profile: Profile) -> Result<Self> {
        let cluster = Cluster::up(options)?;
        let built = Built::make(profile)?;
        let stage = Self { cluster, built };
        stage.load_images()?;
        stage.install(install)?;
        Ok(stage)
    }

    fn load_images(&self) -> Result<()> {
        let (built, cluster) = (&self.built, &self.cluster);
        cluster.load_image(&built.plimsoll_image, &Image::of_program(&built.plimsoll))?;
        cluster.load_image(&built.shop_image, &Image::of_program(&built.shop))?;
        cluster.load_image(&built.haproxy_image, &Image::of_haproxy()?)?;
        cluster.load_image(&built.nginx_image, &Image::of_nginx(&built.plimsoll)?)
    }

    /// Installs the chart, or upgrades it, and waits until it is ready.
    pub fn install(&self, install: &Install) -> Result<()> {
        let built = &self.built;
        let (repository, tag) = built.plimsoll_image.rsplit_once(':').context("an image without a tag")?;
        let sources = install.sources.iter().enumerate().map(|(number, (name, url))| {
            let (source, stale_after) = (format!("sources[{number}]"), install.stale_after);
            format!("{source}.name={name},{source}.url={url},{source}.staleAfter={stale_after}s")
        });
        let images = format!(
            "balancers.haproxyImage={},balancers.nginxImage={}",
            built.haproxy_image, built.nginx_image
        );
        let settings = [
            format!("image.repository={repository},image.pullPolicy=Never,replicas={}", install.replicas),
            format!("traffic.enabled=true,balancers.agentImage={},{images}", built.plimsoll_image),
        ];
        let settings: Vec<_> =
            settings.into_iter().chain(sources).chain(install.settings.iter().cloned()).collect();
        // A tag of digits only would be taken for a number.
        let (tag, chart) = (format!("image.tag={tag}"), built.workspace.join("charts/plimsoll"));
        let chart = chart.to_string_lossy();
        let mut arguments =
            vec!["upgrade", "--install", "plimsoll", &chart, "--namespace", OPERATOR_NAMESPACE];
        arguments.extend(["--create-namespace", "--wait", "--timeout", "120s", "--set-string", &tag]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        self.cluster.helm(&arguments)?;
        Ok(())
    }

    pub fn uninstall(&self) -> Result<()> {
        self.cluster.helm(&["uninstall", "plimsoll", "--namespace", OPERATOR_NAMESPACE, "--wait"]).map(drop)
    }

    /// `kubectl plimsoll` in a namespace, found by kubectl as a user's is.
    pub fn plugin(&self, namespace: &str, arguments: &[&str]) -> Result<String> {
        let folder = self.built.plugin.parent().context("the plugin has no folder")?;
        let mut command = self.cluster.kubectl_command(&["plimsoll", "--namespace", namespace]);
        command.args(arguments).env("PATH", folder);
        finish(command, "")
    }

    /// Deletes a namespace, with everything from an earlier run, and creates it again.
    pub fn fresh_namespace(&self, name: &str) -> Result<()> {
        self.cluster.kubectl(&["delete", "namespace", name, "--ignore-not-found", "--timeout=90s"])?;
        self.cluster.kubectl(&["create", "namespace", name]).map(drop)
    }

    pub fn leader(&self) -> Result<String> {
        let lease = self.cluster.get(OPERATOR_NAMESPACE, "lease", "plimsoll")?;
        match lease.text("/spec/holderIdentity").split_once('_') {
            Some((pod, _)) => Ok(pod.to_owned()),
            None => bail!("the lease {OPERATOR_NAMESPACE}/plimsoll has no holder"),
        }
    }
}
