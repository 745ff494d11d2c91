//! NGINX as a program: its check of a configuration, and its signals.

use std::{ffi::OsStr, path::Path};

use super::paths::Paths;
use crate::balancer::{DriverError, files};

/// Sends the signal `how` of `nginx -s` to the master in this container. Returns whether it was delivered, and the output.
pub(super) async fn signal(paths: &Paths, how: &str) -> Result<(bool, String), DriverError> {
    let arguments = ["-s", how, "-e", "stderr", "-c"].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().chain([paths.config.as_os_str()]).collect();
    files::run(&paths.program, &arguments).await
}

/// The message of NGINX's own check if it refuses a configuration; `None` if it accepts it.
pub(super) async fn complaint(program: &Path, config: &Path) -> Result<Option<String>, DriverError> {
    let arguments = ["-t", "-q", "-e", "stderr", "-c"].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().chain([config.as_os_str()]).collect();
    let (accepted, output) = files::run(program, &arguments).await?;
    Ok((!accepted).then(|| first(&output)))
}

/// The first error in the output, such as `nginx: [emerg] unknown directive "x" in FILE:7`.
pub(super) fn first(output: &str) -> String {
    let line = output.lines().find(|line| line.contains("[emerg]")).or_else(|| output.lines().next());
    let line = line.unwrap_or("no message");
    let words = line.split_once("[emerg] ").map_or(line, |(_, words)| words);
    words.trim().chars().take(300).collect()
}
