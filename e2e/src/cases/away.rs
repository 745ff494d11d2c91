//! An API server that is away for a while.

use anyhow::Result;

use crate::cluster::{Cluster, Component};

/// Killed until [`Away::end`], or until this value is dropped: a case that fails must not leave it dead.
pub struct Away<'a>(&'a Cluster);

impl<'a> Away<'a> {
    /// Kills the API server, as a crash would.
    pub fn of(cluster: &'a Cluster) -> Result<Self> {
        cluster.kill9(Component::ApiServer)?;
        Ok(Self(cluster))
    }

    /// Starts it.
    pub fn end(self) -> Result<()> {
        self.0.start(Component::ApiServer)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        // Starting what runs does nothing.
        let _ = self.0.start(Component::ApiServer);
    }
}
