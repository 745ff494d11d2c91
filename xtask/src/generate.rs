//! `cargo xtask generate`: writes the files that are generated from the code. The test that checks them also writes them.

use anyhow::{Result, bail};
use std::process::Command;

/// Writes every generated file.
pub fn run() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--package=plimsoll", "--test=it", "generated::"]);
    if !command.env("PLIMSOLL_GENERATE", "1").status()?.success() {
        bail!("failed to write the generated files");
    }
    Ok(())
}
