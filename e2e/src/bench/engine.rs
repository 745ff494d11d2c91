//! Microseconds for one decision: the root package's own bench, started and read.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::finish;

pub fn run() -> Result<Value> {
    root_bench("engine", &[])
}

/// Builds and runs a bench of the root package, which prints one line of JSON.
pub fn root_bench(name: &str, arguments: &[&str]) -> Result<Value> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["bench", "--quiet", "--package=plimsoll", "--bench", name, "--"]);
    command.args(arguments);
    let output = finish(command, "")?;
    let line = output.lines().last().with_context(|| format!("the bench {name} printed nothing"))?;
    serde_json::from_str(line).with_context(|| format!("the bench {name} printed no JSON: {line}"))
}
