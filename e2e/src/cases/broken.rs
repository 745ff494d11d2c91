//! Parts of the cluster that are away for a while.

use super::prelude::*;
use crate::cluster::{Cluster, Component};

/// Something that is away until [`Broken::heal`], or until this value is dropped: a case that fails must not leave it so.
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

    /// The API server, which is killed.
    pub fn api_server(cluster: &'a Cluster) -> Result<Self> {
        Self::by(cluster, |cluster| cluster.kill9(Component::ApiServer), start_api_server)
    }

    /// The kubelet of node 2, which is stopped.
    pub fn kubelet_2(cluster: &'a Cluster) -> Result<Self> {
        const KUBELET: Component = Component::Kubelet(2);
        Self::by(cluster, |cluster| cluster.stop(KUBELET), |cluster| cluster.start(KUBELET))
    }

    /// Node 2, which loses its power.
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
            eprintln!("the cluster is not as it was: {error:#}");
        }
    }
}

/// kube-proxy is started anew: one that lost the API server asks again after up to a minute (client-go's back-off), and
/// sends what comes next to pods that are no more.
fn start_api_server(cluster: &Cluster) -> Result<()> {
    cluster.start(Component::ApiServer)?;
    for proxy in cluster.node_numbers().map(Component::KubeProxy) {
        cluster.stop(proxy)?;
        cluster.start(proxy)?;
    }
    Ok(())
}

/// The node is ready, and so is all that ran on it: later cases count on both.
fn start_node_2(cluster: &Cluster) -> Result<()> {
    cluster.start_node(2)?;
    cluster.wait_for_nodes()?;
    wait_for("all Deployments available after the power cut", Duration::from_secs(120), || {
        let deployments = cluster.list("default", "deployments --all-namespaces")?;
        let available = |deployment: &Value| deployment.number("/status/availableReplicas");
        Ok(deployments.iter().all(|deployment| available(deployment) >= deployment.wanted()))
    })
}
