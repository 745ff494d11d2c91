//! The resource definitions of the Gateway API, from its Go module: the oldest release whose standard channel names rules.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

use super::state::cache_folder;
use crate::process::finish;

const MODULE: &str = "sigs.k8s.io/gateway-api";
const GO_MOD: &str = include_str!("../../programs/gateway-api/go.mod");
const GO_SUM: &str = include_str!("../../programs/gateway-api/go.sum");

/// The folder with the definitions of the standard channel, a file each; downloaded once.
///
/// # Errors
/// Go is missing, or the module can't be had.
pub fn definitions() -> Result<PathBuf> {
    let folder = cache_folder("gateway-api")?;
    fs::write(folder.join("go.mod"), GO_MOD)?;
    fs::write(folder.join("go.sum"), GO_SUM)?;
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", MODULE]).current_dir(&folder).env("GOWORK", "off");
    let said: Value = serde_json::from_str(&finish(command, "")?).context("what go says is not JSON")?;
    let module = said.pointer("/Dir").and_then(Value::as_str).context("go names no folder")?;
    Ok(PathBuf::from(module).join("config/crd/standard"))
}
