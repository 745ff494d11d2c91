//! Runs the root package's own benches: the time of a decision and of an arbitration, and the cost of a change behind HAProxy.

use crate::{
    prelude::*,
    process::finish,
    stage::{Built, Profile},
};

pub fn run() -> Result<Value> {
    root_bench("engine", &[])
}

pub fn arbiter() -> Result<Value> {
    root_bench("arbiter", &[])
}

pub fn traffic() -> Result<Value> {
    let built = Built::make(Profile::Image)?;
    root_bench("traffic", &[built.shop.to_str().context("the path of the shop is not UTF-8")?])
}

fn root_bench(name: &str, arguments: &[&str]) -> Result<Value> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The profile of the measured images: their dependencies are built already.
    command.current_dir(workspace).args(["bench", "--quiet", "--profile=image", "--package=plimsoll"]);
    command.args(["--bench", name, "--"]);
    command.args(arguments);
    let output = finish(command, "")?;
    let line = output.lines().last().with_context(|| format!("the bench {name} printed nothing"))?;
    serde_json::from_str(line).with_context(|| format!("the bench {name} printed no JSON: {line}"))
}
