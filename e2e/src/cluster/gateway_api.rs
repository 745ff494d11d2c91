//! Resource definitions from Go modules, of which nothing is built: those of the Gateway API (the oldest release whose
//! standard channel names rules) and of Envoy Gateway.

use super::state::cache_folder;
use crate::{prelude::*, process::finish};

struct Module {
    /// Of the folder in the cache.
    name: &'static str,
    path: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
}

const GATEWAY_API: Module = Module {
    name: "gateway-api",
    path: "sigs.k8s.io/gateway-api",
    go_mod: include_str!("../../programs/gateway-api/go.mod"),
    go_sum: include_str!("../../programs/gateway-api/go.sum"),
};

const ENVOY_GATEWAY: Module = Module {
    name: "envoy-gateway",
    path: "github.com/envoyproxy/gateway",
    go_mod: include_str!("../../programs/envoy-gateway/go.mod"),
    go_sum: include_str!("../../programs/envoy-gateway/go.sum"),
};

/// The folder with the Gateway API's definitions of the standard channel, a file each; downloaded once.
pub fn definitions() -> Result<PathBuf> {
    Ok(GATEWAY_API.folder()?.join("config/crd/standard"))
}

/// The file with Envoy Gateway's definition of BackendTrafficPolicy; downloaded once.
pub fn backend_traffic_policy() -> Result<PathBuf> {
    let generated = "charts/gateway-helm/charts/crds/crds/generated";
    let file = "gateway.envoyproxy.io_backendtrafficpolicies.yaml";
    Ok(ENVOY_GATEWAY.folder()?.join(generated).join(file))
}

impl Module {
    fn folder(&self) -> Result<PathBuf> {
        let folder = cache_folder(self.name)?;
        fs::write(folder.join("go.mod"), self.go_mod)?;
        fs::write(folder.join("go.sum"), self.go_sum)?;
        let mut command = Command::new("go");
        command.args(["mod", "download", "-json", self.path]).current_dir(&folder).env("GOWORK", "off");
        let said: Value = serde_json::from_str(&finish(command, "")?).context("what go says is not JSON")?;
        let module = said.pointer("/Dir").and_then(Value::as_str).context("go names no folder")?;
        Ok(PathBuf::from(module))
    }
}
