//! A new configuration: written, checked, announced to clients, taken over by new workers, and undone if they don't come.

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
/// How often it is looked for them.
const POLL: Duration = Duration::from_millis(20);
/// For so long clients are told to connect anew before old workers close the connections that they keep. Who asks more
/// often than this on a connection loses no request.
const ANNOUNCED: Duration = Duration::from_secs(1);

impl Nginx {
    /// Puts the file in place; another structure only after NGINX's own check. To be called before NGINX is started,
    /// which needs the file.
    ///
    /// # Errors
    /// The file can't be written, or NGINX refuses it: then the one before stays.
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

    /// Has new workers take over from those that serve `served`.
    ///
    /// # Errors
    /// As [`Self::write`]; or no new workers serve within 15 s: then the file before is put back.
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
            // Whichever workers there are now, it is not known what they have.
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

    /// Signals the master, and waits until no worker from before takes connections.
    async fn take_over(&self, structure: &str) -> Result<(), DriverError> {
        let old: Vec<_> = self.processes().await?.workers.iter().map(|worker| worker.epoch).collect();
        let failed = |words: String| DriverError::Reload { by: NAME, words };
        let (sent, said) = if self.supervised {
            supervisor::reload(&self.paths.supervisor).await?
        } else {
            signal(&self.paths, "reload").await?
        };
        if !sent {
            return Err(failed(first(&said)));
        }
        let begin = Instant::now();
        let mut last = String::new();
        while begin.elapsed() < PATIENCE {
            let workers = self.processes().await?.workers;
            let is_old = |worker: &process::Worker| old.contains(&worker.epoch);
            if workers.iter().any(|worker| is_old(worker) && !worker.leaving) {
                "after 15 s the workers before still take connections".clone_into(&mut last);
            } else {
                match self.served().await {
                    Ok(Some(served)) if served == structure => return Ok(()),
                    // Clients took all connections of the new workers at once; old workers take none any more.
                    Ok(None) if !workers.iter().all(is_old) => return Ok(()),
                    Ok(_) => "after 15 s the configuration before is still served".clone_into(&mut last),
                    Err(error) => last = error.to_string(),
                }
            }
            sleep(POLL).await;
        }
        Err(failed(last))
    }
}
