//! Files that a balancer reads. They are written to a temporary file and renamed, so that it never reads a partial file.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{fs, io::AsyncWriteExt as _, process::Command, time::timeout};

use super::error::DriverError;

/// Timeout of a configuration check; with 1,000 servers it takes 0.1 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// The text of a file; `None` if the file does not exist.
pub(super) async fn read(path: &Path) -> Result<Option<String>, DriverError> {
    match fs::read_to_string(path).await {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DriverError::file("read", path)(error)),
    }
}

/// Writes `text` to the temporary file of `path`, readable only by the owner.
///
/// Not synced to disk: the file must survive the process but not the machine.
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

/// Replaces `path` with its temporary file.
pub(super) async fn put_in_place(path: &Path) -> Result<(), DriverError> {
    fs::rename(beside(path), path).await.map_err(DriverError::file("write", path))
}

/// Replaces the content of a file atomically.
pub(super) async fn replace(path: &Path, text: &str) -> Result<(), DriverError> {
    write_beside(path, text).await?;
    put_in_place(path).await
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Runs a program to its end. Returns whether it succeeded, and its standard error.
pub(super) async fn run(program: &Path, arguments: &[&OsStr]) -> Result<(bool, String), DriverError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(PATIENCE, command.output()).await {
        Ok(output) => output.map_err(DriverError::file("run", program))?,
        Err(_) => return Ok((false, format!("no answer from {} within 20 s", program.display()))),
    };
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}
