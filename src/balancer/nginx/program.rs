//! NGINX as a program: its check of a configuration, and its signals.

use std::{ffi::OsStr, path::Path};

use super::paths::Paths;
use crate::balancer::{DriverError, files};

/// Has the master of this container do what `nginx -s` knows: whether it took the signal, and what was said.
pub(super) async fn signal(paths: &Paths, how: &str) -> Result<(bool, String), DriverError> {
    let arguments = ["-s", how, "-e", "stderr", "-c"].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().chain([paths.config.as_os_str()]).collect();
    files::run(&paths.program, &arguments).await
}

/// What NGINX's own check says against a configuration; `None` if it takes it.
pub(super) async fn complaint(program: &Path, config: &Path) -> Result<Option<String>, DriverError> {
    let arguments = ["-t", "-q", "-e", "stderr", "-c"].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().chain([config.as_os_str()]).collect();
    let (content, said) = files::run(program, &arguments).await?;
    Ok((!content).then(|| first(&said)))
}

/// The first line that says what is wrong: as in `nginx: [emerg] unknown directive "x" in FILE:7`.
pub(super) fn first(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("[emerg]")).or_else(|| said.lines().next());
    let line = line.unwrap_or("without a word");
    let words = line.split_once("[emerg] ").map_or(line, |(_, words)| words);
    words.trim().chars().take(300).collect()
}
