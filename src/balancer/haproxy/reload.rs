//! Reloads for a new structure: writes and checks the file, starts new processes, and restores the file if they fail.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    HaProxy, NAME,
    check::check,
    command::{Answer, Command},
    config::{Config, structure_of},
    seen::Seen,
    socket,
};
use crate::balancer::{DriverError, files};

/// How long new processes may take to serve. With 1,000 servers and certificates they take a second or two.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval of looking for them.
const POLL: Duration = Duration::from_millis(20);

impl HaProxy {
    /// Writes the file; a new structure only after HAProxy's own check. Returns whether the file changed.
    ///
    /// Must be called before HAProxy is started, which needs the file.
    ///
    /// # Errors
    /// The file can't be written, or HAProxy refuses it: then the previous file stays.
    pub async fn write(&self, config: &Config) -> Result<bool, DriverError> {
        // First, since a configuration with standbys is refused without the map. Entries of standbys that a
        // configuration does not have are never read.
        let shares = &self.paths.shares;
        if !config.shares.is_empty() && files::read(shares).await?.as_deref() != Some(&config.shares) {
            files::replace(shares, &config.shares).await?;
        }
        let before = files::read(&self.paths.config).await?;
        if before.as_deref() == Some(&config.text) {
            return Ok(false);
        }
        let same = before.as_deref().and_then(structure_of) == Some(&config.structure);
        let beside = files::write_beside(&self.paths.config, &config.text).await?;
        // Lines of servers have only names and addresses, which can't be refused.
        if !same && let Some(words) = check(&self.paths.program, &beside).await? {
            return Err(DriverError::Refused { by: NAME, words });
        }
        files::put_in_place(&self.paths.config).await?;
        Ok(true)
    }

    /// Writes `config` and starts new processes with it; the old ones finish their requests.
    ///
    /// # Errors
    /// As [`Self::write`]; or no new process serves within 15 s: then the previous file is restored.
    pub(super) async fn reload(&self, config: &Config, before: &Seen) -> Result<Seen, DriverError> {
        let file = files::read(&self.paths.config).await?;
        self.write(config).await?;
        let taken_over = self.take_over(&config.structure, before).await;
        if let (Err(_), Some(file)) = (&taken_over, file) {
            files::replace(&self.paths.config, &file).await?;
        }
        taken_over
    }

    /// Starts new processes with the current file, and waits for one that serves `structure`.
    ///
    /// # Errors
    /// HAProxy can't be reached or refuses the reload, or no new process serves `structure` within 15 s.
    pub(super) async fn take_over(&self, structure: &str, before: &Seen) -> Result<Seen, DriverError> {
        let answer = socket::ask_master(&self.paths.master, &Command::Reload).await?;
        if let Answer::Refused(_) = Command::Reload.answered(&answer) {
            // From 2.7 on the answer arrives after the reload, with the messages of the new processes.
            let words: String =
                answer.lines().skip(1).collect::<Vec<_>>().join(" ").chars().take(300).collect();
            return Err(DriverError::Reload { by: NAME, words });
        }
        let begin = Instant::now();
        let mut last = String::new();
        while begin.elapsed() < PATIENCE {
            match self.observe().await {
                Ok(seen) if seen.epoch != before.epoch && seen.structure.as_deref() == Some(structure) => {
                    return Ok(seen);
                }
                Ok(seen) => last = format!("the process {} still serves after 15 s", seen.epoch.pid),
                Err(error) => last = error.to_string(),
            }
            sleep(POLL).await;
        }
        Err(DriverError::Reload { by: NAME, words: last })
    }
}
