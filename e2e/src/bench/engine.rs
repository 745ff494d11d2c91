//! Microseconds for one decision: the root package's own bench, started and read.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::finish;

/// Builds and runs `benches/engine.rs`; its line of JSON.
pub fn run() -> Result<Value> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["bench", "--quiet", "--package=plimsoll", "--bench=engine"]);
    let output = finish(command, "")?;
    let line = output.lines().last().context("the bench of the engine printed nothing")?;
    serde_json::from_str(line).with_context(|| format!("the bench of the engine printed no JSON: {line}"))
}
