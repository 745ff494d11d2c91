//! NGINX 1.22 or newer, controlled by reloads: a new file is checked (`nginx -t`), moved into place, loaded by new workers
//! (`SIGHUP`) and read back from them. The previous file is restored if they fail.
//!
//! Clients may use up all connections of NGINX (`health.rs`), and then the agent gets no answer either. In that case the
//! configuration that was served last counts as served, and changes are still applied, since new workers have their own
//! connections.
//!
//! Old workers finish their requests. The driver records which workers may still send requests to a replica, and reports it
//! as drained only after the last of them has exited.
//!
//! `programmed` is the content of the served configuration: which replicas NGINX avoids because of failures is not visible. NGINX
//! keeps no connection to a replica, so that none is closed under a request.

mod access_log;
mod certs;
mod config;
mod headers;
mod health;
mod listener;
mod paths;
mod probe;
mod process;
mod program;
mod reload;
mod standbys;
mod stop;
mod supervisor;
#[cfg(test)]
mod tests;
mod workers;

pub use config::Config;
pub use paths::{OWN_PORT, Paths};
pub use probe::Counters;
pub use stop::Connected;
pub use supervisor::{SuperviseError, supervise};

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use self::{process::Processes, workers::Knowledge};
use super::{DriverError, Epoch, Look, Outcome, Usage, Wanted, certificate, files};
use plimsoll_api::Percent;

/// Name in messages.
const NAME: &str = "NGINX";
/// Shortest time between two reloads. Changes are batched, since each reload leaves old workers that have to finish.
const APART: Duration = Duration::from_secs(2);

/// One NGINX on this machine.
#[derive(Debug)]
pub struct Nginx {
    paths: Paths,
    /// Whether it runs in another container, behind its supervisor.
    supervised: bool,
    /// The lock is held during a synchronization, so that only one runs at a time.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The master when it was last read.
    master: Option<Epoch>,
    /// The structure that the workers of this master served when they last answered.
    served: Option<String>,
    /// Time of the last reload.
    reloaded: Option<Instant>,
    /// The pods that each worker may send requests to.
    knowledge: Knowledge,
}

impl Nginx {
    /// An NGINX at `paths` in this container, running or not.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { paths, supervised: false, state: Mutex::default() }
    }

    /// An NGINX at `paths` in another container, where [`supervise`] runs it.
    #[must_use]
    pub fn supervised(paths: Paths) -> Self {
        Self { supervised: true, ..Self::new(paths) }
    }

    /// Its files and ports.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Identity of the running master.
    ///
    /// # Errors
    /// No master runs.
    pub async fn epoch(&self) -> Result<Epoch, DriverError> {
        Ok(self.processes().await?.master)
    }

    async fn processes(&self) -> Result<Processes, DriverError> {
        let found = if self.supervised {
            supervisor::processes(&self.paths.supervisor).await?
        } else {
            Processes::here(&self.paths.pid)
        };
        let file = self.paths.pid.display();
        found.ok_or_else(|| DriverError::Down(format!("{file} names no running NGINX master")))
    }

    /// Earliest time of the next change, so that changes are batched; `None` before the first reload.
    pub async fn not_before(&self) -> Option<Instant> {
        Some(self.state.lock().await.reloaded? + APART)
    }

    /// Applies `wanted` with at most one reload, and reads it back.
    ///
    /// # Errors
    /// NGINX refuses the configuration, does not load it, or does not run. The file is written even when NGINX does not
    /// run, so that it starts with it ([`DriverError::is_down`]).
    pub async fn sync(&self, wanted: &Wanted) -> Result<Outcome, DriverError> {
        let mut state = self.state.lock().await;
        let config = Config::of(wanted, &self.paths, &certificate::marks(wanted).await)?;
        let served = match self.served().await {
            Ok(served) => served,
            Err(error) => {
                self.write(&config).await?;
                return Err(error);
            }
        };
        let found = self.processes().await?;
        let master = found.master;
        if state.master != Some(master) {
            self.adopt(&mut state, &found, served.is_some()).await;
        }
        let served = match served.or_else(|| state.served.take()) {
            Some(served) => served,
            // NGINX has no free connection and has never answered, so only its file is known. If it serves a different
            // one, it is reloaded once it answers.
            None => {
                let file = files::read(&self.paths.config).await?.unwrap_or_default();
                config::structure_of(&file).map(str::to_owned).unwrap_or_default()
            }
        };
        let reloaded = served != config.structure;
        if reloaded {
            self.reload(&mut state, &config, &served, wanted).await?;
        } else {
            self.write(&config).await?;
        }
        state.served = Some(config.structure);
        state.knowledge.learn(&self.processes().await?.workers, Some(&wanted.ready_pods()));
        Ok(Outcome {
            look: Look { epoch: master, serving: wanted.ready_pods(), down: BTreeSet::new(), held: 0 },
            in_sync: true,
            changes: usize::from(reloaded),
            reloaded,
            pending: false,
            message: None,
        })
    }

    /// Reads the running state: the replicas of the served configuration. NGINX does not report which of them it avoids
    /// because of failures.
    ///
    /// # Errors
    /// NGINX does not run or does not answer.
    pub async fn look(&self) -> Result<Look, DriverError> {
        let (epoch, served) = (self.epoch().await?, self.served().await?);
        let file = files::read(&self.paths.config).await?.unwrap_or_default();
        let serving = match config::structure_of(&file) {
            Some(structure) if served.as_deref().is_none_or(|served| served == structure) => {
                config::pods_of(&file)
            }
            _ => return Err(DriverError::Down("it does not serve the configuration in its file".to_owned())),
        };
        Ok(Look { epoch, serving, down: BTreeSet::new(), held: 0 })
    }

    /// Those of `pods` that no worker sends requests to any more: old workers with these pods have exited, and all their
    /// requests are finished.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn drained(&self, pods: &[String]) -> Result<Vec<String>, DriverError> {
        if pods.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.state.lock().await;
        let look = self.look().await?;
        state.knowledge.learn(&self.processes().await?.workers, Some(&look.serving));
        Ok(pods.iter().filter(|pod| !state.knowledge.knows(pod)).cloned().collect())
    }

    /// Its counters; `None` if it has no free connection for the query.
    ///
    /// # Errors
    /// NGINX does not run or does not answer.
    pub async fn counters(&self) -> Result<Option<Counters>, DriverError> {
        let Some(text) = self.ask(config::COUNTERS).await? else { return Ok(None) };
        let error = || DriverError::Down("its counters are not in the documented format".to_owned());
        let mut counters = Counters::read(&text).ok_or_else(error)?;
        let workers = self.processes().await?.workers;
        counters.leaving = workers.iter().filter(|worker| worker.leaving).count() as u64;
        Ok(Some(counters))
    }

    /// Utilization of the capacity. The CPU time is unknown.
    ///
    /// # Errors
    /// NGINX does not run or does not answer.
    pub async fn usage(&self) -> Result<Usage, DriverError> {
        let Some(counters) = self.counters().await? else {
            return Ok(Usage { connections: Some(Percent::HUNDRED), ..Usage::default() });
        };
        let file = files::read(&self.paths.config).await?.unwrap_or_default();
        let requests = counters.working.saturating_sub(1);
        Ok(Usage {
            connections: Usage::percent(counters.active, probe::clients_of(&file)),
            requests: Usage::percent(requests, probe::requests_of(&file)),
            cpu: None,
        })
    }

    /// The structure that serves new connections; `None` if NGINX has no free connection for the query.
    async fn served(&self) -> Result<Option<String>, DriverError> {
        self.ask(config::STRUCTURE).await
    }

    /// NGINX's answer at `path`; `None` if it has no free connection for the query.
    ///
    /// # Errors
    /// NGINX does not run or does not answer, or its workers exit when they are queried.
    async fn ask(&self, path: &str) -> Result<Option<String>, DriverError> {
        if let Some(answer) = probe::get(self.paths.own, path).await? {
            return Ok(Some(answer));
        }
        // Queried again, and compared with the processes before and after. That is too expensive for every query.
        let before = self.processes().await?;
        let answer = probe::get(self.paths.own, path).await?;
        if answer.is_none() && !self.processes().await?.are_those_of(&before) {
            return Err(DriverError::Down("its workers exit instead of answering".to_owned()));
        }
        Ok(answer)
    }

    /// Records a new master, also when the agent starts. The configuration of its workers is known only if NGINX has
    /// `answered`.
    async fn adopt(&self, state: &mut State, found: &Processes, answered: bool) {
        let _gone_is_fine = tokio::fs::remove_file(self.paths.stopping()).await;
        let look = if answered { self.look().await.ok() } else { None };
        let pods = look.map(|look| look.serving);
        state.master = Some(found.master);
        state.served = None;
        state.knowledge.learn(&found.workers, pods.as_ref());
    }
}
