//! Files that HAProxy reads: written beside and renamed, so that it never sees half of one.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{fs, io::AsyncWriteExt as _, process::Command, time::timeout};

use super::error::DriverError;

/// The longest check of a configuration: one with 1,000 servers takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// The text of a file; `None` if it is not there.
pub(super) async fn read(path: &Path) -> Result<Option<String>, DriverError> {
    match fs::read_to_string(path).await {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DriverError::file("read", path)(error)),
    }
}

/// Writes `text` beside `path`, for the owner alone.
///
/// Not synced to the disk: it need only outlive the process, and the folder does not outlive the machine.
pub(super) async fn write_beside(path: &Path, text: &str) -> Result<PathBuf, DriverError> {
    let beside = beside(path);
    let error = || DriverError::file("write", &beside);
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&beside).await.map_err(error())?;
    file.write_all(text.as_bytes()).await.map_err(error())?;
    file.flush().await.map_err(error())?;
    Ok(beside)
}

/// Puts what was written beside in the place of the old.
pub(super) async fn put_in_place(path: &Path) -> Result<(), DriverError> {
    fs::rename(beside(path), path).await.map_err(DriverError::file("write", path))
}

/// Writes a file at once.
pub(super) async fn replace(path: &Path, text: &str) -> Result<(), DriverError> {
    write_beside(path, text).await?;
    put_in_place(path).await
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// What HAProxy's own check says against a configuration; `None` if it takes it.
pub(super) async fn check(program: &Path, config: &Path) -> Result<Option<String>, DriverError> {
    let mut command = Command::new(program);
    command.args(["-c", "-f"]).arg(config).stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(PATIENCE, command.output()).await {
        Ok(output) => output.map_err(DriverError::file("run", program))?,
        Err(_) => return Ok(Some(format!("no answer from {} -c within 20 s", program.display()))),
    };
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Lines are "[ALERT]    (123) : config : parsing [FILE:7] : …"; the first says most.
    let alert = said.lines().find(|line| line.starts_with("[ALERT]")).or_else(|| said.lines().next());
    let alert = alert
        .unwrap_or("without a word")
        .rsplit_once("config : ")
        .map_or_else(|| alert.unwrap_or("without a word"), |(_, words)| words);
    Ok(Some(alert.trim().chars().take(300).collect()))
}
