//! An API server that is away for a while.

use anyhow::Result;

use crate::cluster::{Cluster, Component};

/// Killed until [`Away::end`], or until this value is dropped: a case that fails must not leave it dead.
///
/// At the end kube-proxy is started anew: one that lost the API server asks again after up to a minute (client-go's
/// back-off), and sends what comes next to pods that are no more.
pub struct Away<'a>(Option<&'a Cluster>);

impl<'a> Away<'a> {
    pub fn of(cluster: &'a Cluster) -> Result<Self> {
        cluster.kill9(Component::ApiServer)?;
        Ok(Self(Some(cluster)))
    }

    pub fn end(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), back)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if let Some(cluster) = self.0.take() {
            let _ = back(cluster);
        }
    }
}

fn back(cluster: &Cluster) -> Result<()> {
    cluster.start(Component::ApiServer)?;
    for proxy in cluster.node_numbers().map(Component::KubeProxy) {
        cluster.stop(proxy)?;
        cluster.start(proxy)?;
    }
    Ok(())
}
