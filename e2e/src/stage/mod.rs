//! Where the play takes place: a cluster with Plimsoll installed by its chart, and the sample shop at hand.

mod build;
mod gateway;
mod load;
mod prometheus;
mod shop;
mod sticky;
mod streams;

pub use build::{Built, Profile, release};
pub use gateway::GatewayStandIn;
pub use load::{Load, Second, Summary};
pub use prometheus::{FaultProxy, Prometheus};
pub use shop::{Queue, Shop, queue, service_url};
pub use sticky::{Client, StickyClients, Visit};
pub use streams::{Stream, Streams};

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    cluster::{Cluster, Image, Options},
    process::wait_for,
};

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "plimsoll-system";

/// A cluster with Plimsoll in it.
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
    /// The programs of this workspace, built for the images.
    pub built: Built,
}

/// What the operator's chart is installed with.
#[derive(Debug, Clone)]
pub struct Install {
    /// Names and URLs of the Prometheus sources.
    pub sources: Vec<(&'static str, &'static str)>,
    /// Age in seconds above which a sample of theirs is stale.
    pub stale_after: u32,
    /// Replicas of the operator.
    pub replicas: u8,
    /// Further values, as `name=value`.
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
    /// Makes the cluster if need be, builds the images, and installs or upgrades the chart.
    pub fn set(options: &Options, install: &Install, profile: Profile) -> Result<Self> {
        let cluster = Cluster::up(options)?;
        let built = Built::make(profile)?;
        let stage = Self { cluster, built };
        stage.load_images()?;
        stage.install(install)?;
        Ok(stage)
    }

    fn load_images(&self) -> Result<()> {
        for (image, program) in
            [(&self.built.plimsoll_image, &self.built.plimsoll), (&self.built.shop_image, &self.built.shop)]
        {
            self.cluster.load_image(image, &Image::of_program(program))?;
        }
        self.cluster.load_image(&self.built.haproxy_image, &Image::of_haproxy()?)?;
        self.cluster.load_image(&self.built.nginx_image, &Image::of_nginx(&self.built.plimsoll)?)
    }

    /// Installs the chart, or upgrades it, and waits until it is ready.
    pub fn install(&self, install: &Install) -> Result<()> {
        let (repository, tag) =
            self.built.plimsoll_image.rsplit_once(':').context("an image without a tag")?;
        let chart = self.built.workspace.join("charts/plimsoll");
        let mut settings = vec![
            format!("image.repository={repository}"),
            "image.pullPolicy=Never".to_owned(),
            "traffic.enabled=true".to_owned(),
            format!("balancers.agentImage={}", self.built.plimsoll_image),
            format!("balancers.haproxyImage={}", self.built.haproxy_image),
            format!("balancers.nginxImage={}", self.built.nginx_image),
            format!("replicas={}", install.replicas),
        ];
        let sources = install.sources.iter().enumerate().map(|(number, (name, url))| {
            let source = format!("sources[{number}]");
            format!("{source}.name={name},{source}.url={url},{source}.staleAfter={}s", install.stale_after)
        });
        settings.extend(sources);
        settings.extend(install.settings.iter().cloned());
        let mut arguments = vec!["upgrade", "--install", "plimsoll"];
        let chart = chart.to_string_lossy();
        arguments.extend([chart.as_ref(), "--namespace", OPERATOR_NAMESPACE, "--create-namespace"]);
        arguments.extend(["--wait", "--timeout", "120s"]);
        // A tag of digits only would be taken for a number.
        let tag = format!("image.tag={tag}");
        arguments.extend(["--set-string", tag.as_str()]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        self.cluster.helm(&arguments)?;
        Ok(())
    }

    /// Uninstalls the chart; CRDs and objects stay.
    pub fn uninstall(&self) -> Result<()> {
        self.cluster.helm(&["uninstall", "plimsoll", "--namespace", OPERATOR_NAMESPACE, "--wait"]).map(drop)
    }

    /// An object as JSON.
    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Result<Value> {
        let text = self.cluster.kubectl(&["--namespace", namespace, "get", kind, name, "--output=json"])?;
        serde_json::from_str(&text).with_context(|| format!("{kind} {name} is not JSON"))
    }

    /// Replicas that a workload wants and those that are ready.
    pub fn replicas(&self, namespace: &str, kind: &str, name: &str) -> Result<(i64, i64)> {
        let object = self.get(namespace, kind, name)?;
        let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        Ok((number("/spec/replicas"), number("/status/readyReplicas")))
    }

    /// Status and reason of a condition of a ScalableService.
    pub fn condition(&self, namespace: &str, name: &str, type_: &str) -> Result<(String, String)> {
        let object = self.get(namespace, "scalableservice", name)?;
        let conditions =
            object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let found =
            conditions.iter().find(|condition| condition.get("type").is_some_and(|found| found == type_));
        let text = |field: &str| {
            found
                .and_then(|condition| condition.get(field))
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok((text("status"), text("reason")))
    }

    /// Waits for a condition's reason.
    pub fn wait_for_reason(
        &self,
        (namespace, name): (&str, &str),
        type_: &str,
        reasons: &[&str],
        within: Duration,
    ) -> Result<()> {
        let mut seen = (String::new(), String::new());
        wait_for(&format!("{type_} of {name} to say {}", reasons.join(" or ")), within, || {
            seen = self.condition(namespace, name, type_)?;
            Ok(reasons.contains(&seen.1.as_str()))
        })
        .with_context(|| format!("it says {} {}", seen.0, seen.1))
    }

    /// Waits until a workload wants a number of replicas.
    pub fn wait_for_replicas(
        &self,
        (namespace, kind, name): (&str, &str, &str),
        what: &str,
        within: Duration,
        fits: impl Fn(i64, i64) -> bool,
    ) -> Result<()> {
        let mut seen = (0, 0);
        wait_for(&format!("{kind} {name}: {what}"), within, || {
            seen = self.replicas(namespace, kind, name)?;
            Ok(fits(seen.0, seen.1))
        })
        .with_context(|| format!("it wants {} replicas and {} are ready", seen.0, seen.1))
    }

    /// Makes a namespace anew: what an earlier run left in it is gone.
    pub fn fresh_namespace(&self, name: &str) -> Result<()> {
        self.cluster.kubectl(&[
            "delete",
            "namespace",
            name,
            "--ignore-not-found",
            "--wait",
            "--timeout=90s",
        ])?;
        self.cluster.kubectl(&["create", "namespace", name]).map(drop)
    }

    /// The name of the pod that holds the operator's lease.
    pub fn leader(&self) -> Result<String> {
        let lease = self.get(OPERATOR_NAMESPACE, "lease", "plimsoll")?;
        let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default();
        match holder.split_once('_') {
            Some((pod, _)) => Ok(pod.to_owned()),
            None => bail!("nobody holds the lease {OPERATOR_NAMESPACE}/plimsoll"),
        }
    }
}
