//! Reloads: a new configuration is written, checked, announced to clients and loaded by new workers, or undone if they fail.
//!
//! A reload is complete when all old workers are shutting down and a new connection reports the new structure; otherwise the
//! previous file is restored. The announcement: for a second, old workers answer with `Connection: close`, since exiting workers
//! close kept connections under their clients. A client with less than one request per second per connection may still be
//! affected; HTTP/2 has GOAWAY for it.

use std::time::{Duration, Instant};

use tokio::{fs, time::sleep};

use super::{
    NAME, Nginx, State,
    config::{Config, ports_of, structure_of},
    process,
    program::{complaint, first, signal},
    supervisor,
};
use crate::balancer::{DriverError, Wanted, files};

/// How long new workers may take to serve.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval of looking for them.
const POLL: Duration = Duration::from_millis(20);
/// How long each response asks the client to reconnect before old workers close idle connections. A client that sends
/// requests more often than this on a connection loses none.
const ANNOUNCED: Duration = Duration::from_secs(1);

impl Nginx {
    /// Writes the file; a new structure only after NGINX's own check. Must be called before NGINX is started, which needs
    /// the file.
    ///
    /// # Errors
    /// The file can't be written, or NGINX refuses it: then the previous file stays.
    pub async fn write(&self, config: &Config) -> Result<(), DriverError> {
        let before = files::read(&self.paths.config).await?;
        if before.as_deref() == Some(&config.text) {
            return Ok(());
        }
        self.write_checked(config, before.as_deref()).await?;
        files::put_in_place(&self.paths.config).await
    }

    async fn write_checked(&self, config: &Config, before: Option<&str>) -> Result<(), DriverError> {
        let beside = files::write_beside(&self.paths.config, &config.text).await?;
        let same = before.and_then(structure_of) == Some(&config.structure);
        if !same && let Some(words) = complaint(&self.paths.program, &beside).await? {
            return Err(DriverError::Refused { by: NAME, words });
        }
        Ok(())
    }

    /// Replaces the workers that serve `served` by new ones with `config`.
    ///
    /// # Errors
    /// As [`Self::write`]; or no new workers serve within 15 s: then the previous file is restored.
    pub(super) async fn reload(
        &self,
        state: &mut State,
        config: &Config,
        served: &str,
        wanted: &Wanted,
    ) -> Result<(), DriverError> {
        let before = files::read(&self.paths.config).await?;
        self.write_checked(config, before.as_deref()).await?;
        let leaving = self.paths.leaving(served);
        if self.has_clients(before.as_deref(), wanted) {
            fs::write(&leaving, "").await.map_err(DriverError::file("write", &leaving))?;
            sleep(ANNOUNCED).await;
        }
        files::put_in_place(&self.paths.config).await?;
        let taken_over = self.take_over(&config.structure).await;
        state.reloaded = Some(tokio::time::Instant::now());
        let _none_is_fine = fs::remove_file(&leaving).await;
        if taken_over.is_err() {
            if let Some(before) = before {
                files::replace(&self.paths.config, &before).await?;
            }
            // The configuration of the current workers is unknown.
            let found = self.processes().await.map(|found| found.workers);
            state.knowledge.learn(&found.unwrap_or_default(), None);
        }
        taken_over
    }

    fn has_clients(&self, before: Option<&str>, wanted: &Wanted) -> bool {
        let mut ports = before.map(ports_of).unwrap_or_default();
        ports.extend(wanted.listeners.iter().map(|listen| listen.port));
        !process::clients(&ports).open.is_empty()
    }

    /// Signals the master, and waits until no old worker accepts connections.
    async fn take_over(&self, structure: &str) -> Result<(), DriverError> {
        let old: Vec<_> = self.processes().await?.workers.iter().map(|worker| worker.epoch).collect();
        let failed = |words: String| DriverError::Reload { by: NAME, words };
        let (sent, output) = if self.supervised {
            supervisor::reload(&self.paths.supervisor).await?
        } else {
            signal(&self.paths, "reload").await?
        };
        if !sent {
            return Err(failed(first(&output)));
        }
        let begin = Instant::now();
        let mut last = String::new();
        while begin.elapsed() < PATIENCE {
            let workers = self.processes().await?.workers;
            let is_old = |worker: &process::Worker| old.contains(&worker.epoch);
            if workers.iter().any(|worker| is_old(worker) && !worker.leaving) {
                "the previous workers still accept connections after 15 s".clone_into(&mut last);
            } else {
                match self.served().await {
                    Ok(Some(served)) if served == structure => return Ok(()),
                    // Clients immediately used up all connections of the new workers; old workers accept none.
                    Ok(None) if !workers.iter().all(is_old) => return Ok(()),
                    Ok(_) => "the previous configuration is still served after 15 s".clone_into(&mut last),
                    Err(error) => last = error.to_string(),
                }
            }
            sleep(POLL).await;
        }
        Err(failed(last))
    }
}
