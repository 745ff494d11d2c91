//! HAProxy's own check of a configuration.

use std::{ffi::OsStr, path::Path};

use crate::balancer::{DriverError, files};

/// HAProxy's message against a configuration; `None` if it is valid.
pub(super) async fn check(program: &Path, config: &Path) -> Result<Option<String>, DriverError> {
    let (valid, output) = files::run(
        program,
        &["-c", "-f"].map(OsStr::new).into_iter().chain([config.as_os_str()]).collect::<Vec<_>>(),
    )
    .await?;
    if valid {
        return Ok(None);
    }
    // Lines are "[ALERT]    (123) : config : parsing [FILE:7] : …"; the first is the most informative.
    let alert = output.lines().find(|line| line.starts_with("[ALERT]")).or_else(|| output.lines().next());
    let alert = alert
        .unwrap_or("no message")
        .rsplit_once("config : ")
        .map_or_else(|| alert.unwrap_or("no message"), |(_, words)| words);
    Ok(Some(alert.trim().chars().take(300).collect()))
}
