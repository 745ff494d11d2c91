//! HAProxy's own check of a configuration.

use std::{ffi::OsStr, path::Path};

use crate::balancer::{DriverError, files};

/// What it says against a configuration; `None` if it takes it.
pub(super) async fn check(program: &Path, config: &Path) -> Result<Option<String>, DriverError> {
    let (content, said) = files::run(
        program,
        &["-c", "-f"].map(OsStr::new).into_iter().chain([config.as_os_str()]).collect::<Vec<_>>(),
    )
    .await?;
    if content {
        return Ok(None);
    }
    // Lines are "[ALERT]    (123) : config : parsing [FILE:7] : …"; the first says most.
    let alert = said.lines().find(|line| line.starts_with("[ALERT]")).or_else(|| said.lines().next());
    let alert = alert
        .unwrap_or("without a word")
        .rsplit_once("config : ")
        .map_or_else(|| alert.unwrap_or("without a word"), |(_, words)| words);
    Ok(Some(alert.trim().chars().take(300).collect()))
}
