//! NGINX 1.22 or newer, driven by reloads: the new file is checked (`nginx -t`), put in place, taken over by new workers
//! (`SIGHUP`), read back from them, and undone if they don't come.
//!
//! Clients may take every connection that NGINX has (`health.rs`). Its agent then gets no answer either. The configuration that
//! was served last counts as served, and changes are still made, since new workers have connections of their own.
//!
//! Old workers finish what they have. Which workers may still send something to a replica is remembered, so that it
//! is told as drained only when the last of them is gone.

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

/// As it is called in messages.
const NAME: &str = "NGINX";
/// Time between two reloads, in which changes gather: each leaves workers behind that have to finish.
const APART: Duration = Duration::from_secs(2);

/// One NGINX on this machine.
#[derive(Debug)]
pub struct Nginx {
    paths: Paths,
    /// Whether it is in another container, and reached through its supervisor there.
    supervised: bool,
    /// Held while synchronising, which is done by one at a time.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The master at the last look.
    master: Option<Epoch>,
    /// The structure that the workers of that master served when they last answered.
    served: Option<String>,
    /// When new workers last had to take over.
    reloaded: Option<Instant>,
    /// Which pods each worker may send requests to.
    knowledge: Knowledge,
}

impl Nginx {
    /// The one at `paths` in this container, running or not.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { paths, supervised: false, state: Mutex::default() }
    }

    /// The one at `paths` in another container, where [`supervise`] runs it.
    #[must_use]
    pub fn supervised(paths: Paths) -> Self {
        Self { supervised: true, ..Self::new(paths) }
    }

    /// Where it is.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Which master runs.
    ///
    /// # Errors
    /// None does.
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
        found.ok_or_else(|| DriverError::Down(format!("{file} names no master process of NGINX")))
    }

    /// Until when a change has to wait for those after it; `None` if none was made yet.
    pub async fn not_before(&self) -> Option<Instant> {
        Some(self.state.lock().await.reloaded? + APART)
    }

    /// Brings `wanted` about by at most one reload, and reads it back.
    ///
    /// # Errors
    /// NGINX refuses the configuration, does not take it over, or does not run. The file is in place even when it does
    /// not run, so that it starts with it ([`DriverError::is_down`]).
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
            self.greet(&mut state, &found, served.is_some()).await;
        }
        let served = match served.or_else(|| state.served.take()) {
            Some(served) => served,
            // Of a full NGINX that never answered its file is all that is known. Should it serve another one, it is
            // reloaded when it answers again.
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

    /// What runs: the replicas are those of the configuration that is served. Which of them are avoided for their
    /// failures is known to NGINX alone.
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
            _ => return Err(DriverError::Down("it serves another configuration than its file".to_owned())),
        };
        Ok(Look { epoch, serving, down: BTreeSet::new(), held: 0 })
    }

    /// Which of `pods` no worker knows any more: those of configurations before are gone, with all their requests.
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

    /// What it counts; `None` if it has no connection left for the question.
    ///
    /// # Errors
    /// NGINX does not run or does not answer.
    pub async fn counters(&self) -> Result<Option<Counters>, DriverError> {
        let Some(text) = self.ask(config::COUNTERS).await? else { return Ok(None) };
        let error = || DriverError::Down("its counters are not as its manual says".to_owned());
        let mut counters = Counters::read(&text).ok_or_else(error)?;
        let workers = self.processes().await?.workers;
        counters.leaving = workers.iter().filter(|worker| worker.leaving).count() as u64;
        Ok(Some(counters))
    }

    /// How much of what it can take is in use; it does not say how busy it is.
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

    /// The structure that new connections are served by; `None` if NGINX has no connection left for the question.
    async fn served(&self) -> Result<Option<String>, DriverError> {
        self.ask(config::STRUCTURE).await
    }

    /// What NGINX tells at `path`; `None` if it has no connection left for the question.
    ///
    /// # Errors
    /// NGINX does not run or does not answer, or its workers end when they are asked.
    async fn ask(&self, path: &str) -> Result<Option<String>, DriverError> {
        if let Some(answer) = probe::get(self.paths.own, path).await? {
            return Ok(Some(answer));
        }
        // Once more, between two looks at its processes, which are too much for each question.
        let before = self.processes().await?;
        let answer = probe::get(self.paths.own, path).await?;
        if answer.is_none() && !self.processes().await?.are_those_of(&before) {
            return Err(DriverError::Down("its workers end instead of answering".to_owned()));
        }
        Ok(answer)
    }

    /// A master that was not seen before, also at the agent's own start. What its workers serve is known only if NGINX has
    /// `answered`.
    async fn greet(&self, state: &mut State, found: &Processes, answered: bool) {
        let _gone_is_fine = tokio::fs::remove_file(self.paths.stopping()).await;
        let look = if answered { self.look().await.ok() } else { None };
        let pods = look.map(|look| look.serving);
        state.master = Some(found.master);
        state.served = None;
        state.knowledge.learn(&found.workers, pods.as_ref());
    }
}
