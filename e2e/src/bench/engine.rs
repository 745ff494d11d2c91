//! The root package's own benches, started and read: microseconds for one decision, and what a change behind HAProxy
//! costs.

use crate::{
    prelude::*,
    process::finish,
    stage::{Built, Profile},
};

pub fn run() -> Result<Value> {
    root_bench("engine", &[])
}

pub fn traffic() -> Result<Value> {
    let built = Built::make(Profile::Image)?;
    root_bench("traffic", &[built.shop.to_str().context("the path of the shop is no text")?])
}

fn root_bench(name: &str, arguments: &[&str]) -> Result<Value> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["bench", "--quiet", "--package=plimsoll", "--bench", name, "--"]);
    command.args(arguments);
    let output = finish(command, "")?;
    let line = output.lines().last().with_context(|| format!("the bench {name} printed nothing"))?;
    serde_json::from_str(line).with_context(|| format!("the bench {name} printed no JSON: {line}"))
}
