//! CRDs from Go modules, which are downloaded but not built: those of the Gateway API (the oldest release whose standard
//! channel has rule names) and of Envoy Gateway.

use super::state::cache_folder;
use crate::{prelude::*, process::finish};

macro_rules! folder {
    ($name:literal, $module:literal) => {
        folder(
            ($name, $module),
            include_str!(concat!("../../programs/", $name, "/go.mod")),
            include_str!(concat!("../../programs/", $name, "/go.sum")),
        )
    };
}

/// The folder with the Gateway API's CRDs of the standard channel, one per file; downloaded once.
pub fn definitions() -> Result<PathBuf> {
    Ok(folder!("gateway-api", "sigs.k8s.io/gateway-api")?.join("config/crd/standard"))
}

/// The file with Envoy Gateway's CRD BackendTrafficPolicy; downloaded once.
pub fn backend_traffic_policy() -> Result<PathBuf> {
    let generated = "charts/gateway-helm/charts/crds/crds/generated";
    let file = "gateway.envoyproxy.io_backendtrafficpolicies.yaml";
    Ok(folder!("envoy-gateway", "github.com/envoyproxy/gateway")?.join(generated).join(file))
}

fn folder((name, module): (&str, &str), go_mod: &str, go_sum: &str) -> Result<PathBuf> {
    let folder = cache_folder(name)?;
    fs::write(folder.join("go.mod"), go_mod)?;
    fs::write(folder.join("go.sum"), go_sum)?;
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", module]).current_dir(&folder).env("GOWORK", "off");
    let module: Value = serde_json::from_str(&finish(command, "")?).context("go printed no JSON")?;
    Ok(PathBuf::from(module.get("Dir").and_then(Value::as_str).context("go reports no folder")?))
}
