//! Temporary outages of cluster components.

use super::prelude::*;
use crate::cluster::{Cluster, Component};

/// A component that is down until [`Broken::heal`] or until this value is dropped: a failed case must not leave it down.
pub struct Broken<'a> {
    cluster: &'a Cluster,
    heal: Option<fn(&Cluster) -> Result<()>>,
}

impl<'a> Broken<'a> {
    fn by(
        cluster: &'a Cluster,
        strike: fn(&Cluster) -> Result<()>,
        heal: fn(&Cluster) -> Result<()>,
    ) -> Result<Self> {
        let broken = Self { cluster, heal: Some(heal) };
        strike(cluster)?;
        Ok(broken)
    }

    /// Kills the API server.
    pub fn api_server(cluster: &'a Cluster) -> Result<Self> {
        Self::by(cluster, |cluster| cluster.kill9(Component::ApiServer), start_api_server)
    }

    /// Stops the kubelet of node 2.
    pub fn kubelet_2(cluster: &'a Cluster) -> Result<Self> {
        const KUBELET: Component = Component::Kubelet(2);
        Self::by(cluster, |cluster| cluster.stop(KUBELET), |cluster| cluster.start(KUBELET))
    }

    /// Cuts the power of node 2.
    pub fn node_2(cluster: &'a Cluster) -> Result<Self> {
        Self::by(cluster, |cluster| cluster.stop_node(2), start_node_2)
    }

    pub fn heal(mut self) -> Result<()> {
        self.heal.take().map_or(Ok(()), |heal| heal(self.cluster))
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.heal.take().map(|heal| heal(self.cluster)) {
            eprintln!("failed to restore the cluster: {error:#}");
        }
    }
}

/// Also restarts kube-proxy: after losing the API server it reconnects only after up to a minute (client-go's back-off), and
/// until then routes new connections to deleted pods.
fn start_api_server(cluster: &Cluster) -> Result<()> {
    cluster.start(Component::ApiServer)?;
    for proxy in cluster.node_numbers().map(Component::KubeProxy) {
        cluster.stop(proxy)?;
        cluster.start(proxy)?;
    }
    Ok(())
}

/// Waits until the node and all Deployments are ready again: later cases rely on both.
fn start_node_2(cluster: &Cluster) -> Result<()> {
    cluster.start_node(2)?;
    cluster.wait_for_nodes()?;
    wait_for("all Deployments available after the power cut", Duration::from_secs(120), || {
        let deployments = cluster.list("default", "deployments --all-namespaces")?;
        let available = |deployment: &Value| deployment.number("/status/availableReplicas");
        Ok(deployments.iter().all(|deployment| available(deployment) >= deployment.wanted()))
    })
}
