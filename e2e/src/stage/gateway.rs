//! The Gateway API on the cluster: its CRDs, and the stand-in for an implementation, which runs on the host.

use super::Stage;
use crate::{
    cluster::{cache_folder, gateway_api, node_address},
    prelude::*,
};

/// The running stand-in; it is stopped when this value is dropped.
pub struct GatewayStandIn {
    child: Child,
}

impl GatewayStandIn {
    /// Installs the CRDs and starts the stand-in for Gateways of `class`, at an address of the host that pods can reach.
    pub fn start(stage: &Stage, class: &str) -> Result<Self> {
        let definitions = gateway_api::definitions()?.display().to_string();
        stage.cluster.kubectl(&["apply", "--server-side", "--filename", &definitions])?;
        stage.cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
        let folder = cache_folder(&format!("gateway-{class}"))?;
        let child = Command::new(&stage.built.gateway)
            .args(["--address", &node_address(1), "--class", class, "--folder"])
            .arg(folder)
            .env("KUBECONFIG", stage.cluster.kubeconfig())
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the stand-in")?;
        Ok(Self { child })
    }

    pub fn url(port: u16) -> String {
        format!("http://{}:{port}", node_address(1))
    }
}

impl Drop for GatewayStandIn {
    fn drop(&mut self) {
        // It exits, with its HAProxy, when its standard input ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
