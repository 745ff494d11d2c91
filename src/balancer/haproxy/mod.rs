//! HAProxy 2.6 or newer, driven through its runtime API on a unix socket and reloaded only when its structure changes.
//!
//! The file describes the last accepted wanted state, so that a restarted process finds its servers. The running process is
//! changed by runtime commands and read back. Each plan starts from the state that was read back, so an interrupted
//! change is planned again.
//!
//! The commands are the same for all versions. `wait srv-removable` of HAProxy 3 would delay the changes behind it, so the
//! deletion of a busy server is part of the next plan. Cookies are dynamic, which 2.6 supports. HAProxy 3 closes the idle
//! connections of a deleted server, so its plan completes sooner. Since 2.7, the response to `reload` has the error of a process
//! that does not start, which `TrafficSynced` shows.

mod access_log;
mod apply;
mod backend;
mod certs;
mod check;
mod command;
mod config;
mod forwarded;
mod frontend;
mod handover;
mod keywords;
mod limits;
mod listeners;
mod listening;
mod paths;
mod plan;
mod quote;
mod reload;
mod seen;
mod socket;
mod standbys;
#[cfg(test)]
mod tests;
mod usage;

pub use apply::{Done, Report};
pub use backend::GATE;
pub use command::{AdminState, Answer, BadWord};
pub use config::Config;
pub use listeners::Clients;
pub use listening::Listening;
pub use paths::Paths;
pub use plan::{Step, plan};
pub use seen::{Seen, SeenServer, Unreadable};
pub use socket::SocketError;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use self::command::{Command, FileWord};
use super::{DriverError, Epoch, Usage, Wanted};

/// Name in messages.
const NAME: &str = "HAProxy";
/// Rounds of plan, apply and read back before the remaining steps are reported as a difference.
const ROUNDS: usize = 3;
/// Shortest time between two reloads for differences that commands could not repair.
const REPAIR_EVERY: Duration = Duration::from_secs(60);

/// One HAProxy on this machine.
#[derive(Debug)]
pub struct HaProxy {
    paths: Paths,
    listening: Listening,
    /// When it was last reloaded for a difference. The lock is held during a synchronization, so that only one runs at
    /// a time.
    repaired: Mutex<Option<Instant>>,
}

impl HaProxy {
    /// A HAProxy at `paths`, running or not.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        let listening = Listening::at(paths.listening.clone());
        Self { paths, listening, repaired: Mutex::new(None) }
    }

    /// Its files, sockets and ports.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The copies of its listening sockets.
    #[must_use]
    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Reads the running state.
    ///
    /// # Errors
    /// HAProxy does not answer, or its answer lacks a documented field.
    pub async fn observe(&self) -> Result<Seen, DriverError> {
        let map = Command::ShowMap(FileWord::new(&self.paths.shares.display().to_string())?);
        let commands = [Command::ShowInfo, Command::ShowServersState, Command::ShowStat, map];
        let mut answers: Vec<String> = Vec::with_capacity(commands.len());
        socket::batch(&self.paths.admin, &commands, |_, answer| answers.push(answer.to_owned())).await?;
        match answers.as_slice() {
            [info, state, stat, map] => Ok(Seen::read(info, state, stat, map)?),
            _ => Err(Unreadable { command: "show info", missing: "answer" }.into()),
        }
    }

    /// The servers by pod name, without the counts of `show stat` (which has 600 bytes for each server; this has 100).
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn servers(&self) -> Result<BTreeMap<String, SeenServer>, DriverError> {
        Ok(seen::servers(&socket::ask(&self.paths.admin, &Command::ShowServersState).await?)?)
    }

    /// Identity of the running process. When it changes, everything sent to the previous process must be sent again.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn epoch(&self) -> Result<Epoch, DriverError> {
        let info = socket::ask(&self.paths.admin, &Command::ShowInfo).await?;
        Ok(Epoch::read(&info)?)
    }

    /// Utilization of the capacity.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn usage(&self) -> Result<Usage, DriverError> {
        let commands = [Command::ShowInfo, Command::ShowTotals];
        let mut answers: Vec<String> = Vec::with_capacity(commands.len());
        socket::batch(&self.paths.admin, &commands, |_, answer| answers.push(answer.to_owned())).await?;
        match answers.as_slice() {
            [info, stat] => Ok(Usage::read(info, stat)?),
            _ => Err(Unreadable { command: "show info", missing: "answer" }.into()),
        }
    }

    /// Held requests: those that wait because no replica can take them.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn held(&self) -> Result<u32, DriverError> {
        Ok(self.observe().await?.held())
    }

    /// Applies `wanted` and reads it back: writes the file, reloads for a new structure, and changes servers by
    /// commands.
    ///
    /// # Errors
    /// HAProxy refuses the configuration or does not answer. The file is written even when HAProxy does not run, so
    /// that it starts with it ([`DriverError::is_down`]).
    pub async fn sync(&self, wanted: &Wanted) -> Result<Report, DriverError> {
        let mut repaired = self.repaired.lock().await;
        let config = Config::of(wanted, &self.paths)?;
        let mut seen = match self.observe().await {
            Ok(seen) => seen,
            Err(error) => {
                if error.is_down() {
                    self.listening.missed();
                }
                self.write(&config).await?;
                return Err(error);
            }
        };
        let mut reloaded = seen.structure.as_ref() != Some(&config.structure);
        if reloaded {
            seen = self.reload(&config, &seen).await?;
        } else {
            self.write(&config).await?;
        }
        self.listen_on(wanted, &seen).await;
        let (mut steps, mut left) = self.rounds(wanted, &mut seen).await?;
        let due = repaired.is_none_or(|at| at.elapsed() >= REPAIR_EVERY);
        if due && !reloaded && left.iter().any(|step| !is_collection(step)) {
            *repaired = Some(Instant::now());
            seen = self.take_over(&config.structure, &seen).await?;
            reloaded = true;
            self.listen_on(wanted, &seen).await;
            let (more, still) = self.rounds(wanted, &mut seen).await?;
            steps.extend(more);
            left = still;
        }
        Ok(report(reloaded, steps, left, seen))
    }

    /// Keeps copies of the listening sockets of the running process.
    async fn listen_on(&self, wanted: &Wanted, seen: &Seen) {
        let ports = wanted.listeners.iter().map(|listen| listen.port).collect();
        if let Err(error) = self.listening.follow(&self.paths.admin, seen.epoch, &ports).await {
            tracing::warn!(%error, "can't copy HAProxy's listening sockets: if it dies, clients are refused");
        }
    }

    /// Plans, applies and reads back until only deletions of busy servers are left. Returns the applied and the
    /// remaining steps.
    async fn rounds(&self, wanted: &Wanted, seen: &mut Seen) -> Result<(Vec<Done>, Vec<Step>), DriverError> {
        let mut done = Vec::new();
        let mut left = plan(wanted, seen);
        for _ in 0..ROUNDS {
            if left.is_empty() || (!done.is_empty() && left.iter().all(is_collection)) {
                break;
            }
            done.extend(self.apply(wanted, left).await?);
            *seen = self.observe().await?;
            left = plan(wanted, seen);
        }
        Ok((done, left))
    }
}

/// Whether the step deletes a server. It may have to wait until the server is idle, without effect on requests.
fn is_collection(step: &Step) -> bool {
    matches!(step, Step::Delete(_))
}

fn report(reloaded: bool, steps: Vec<Done>, left: Vec<Step>, seen: Seen) -> Report {
    let difference = left.iter().find(|step| !is_collection(step));
    let message = difference.map(|step| {
        let refused = steps.iter().rev().find(|done| done.step == *step);
        match refused.map(|done| &done.answer) {
            Some(Answer::Refused(words)) => format!("HAProxy refuses {step:?}: {words}"),
            _ => format!("HAProxy accepted {step:?}, but its state does not show it"),
        }
    });
    let message = message.or_else(|| {
        let first = seen.foreign.first()?;
        Some(format!("{} servers are not Plimsoll's, such as {first}", seen.foreign.len()))
    });
    Report {
        reloaded,
        in_sync: difference.is_none(),
        pending: left
            .into_iter()
            .filter_map(|step| match step {
                Step::Delete(server) => Some(server),
                _ => None,
            })
            .collect(),
        steps,
        seen,
        message,
    }
}
