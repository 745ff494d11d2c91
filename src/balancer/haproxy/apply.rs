//! Applies steps in one batch, and checks and reports each answer.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    HaProxy,
    command::{AdminState, Answer, Command},
    config::CLOSING_MAX,
    plan::Step,
    seen::{Counts, Seen},
    socket,
};
use crate::balancer::{DriverError, Epoch, Wanted};

/// Time after a reload in which the previous process may still get requests: until the last idle connection of a client
/// is closed, and requests in flight have arrived. A process reports its start in whole seconds.
const LEAVES: Duration = CLOSING_MAX.saturating_add(Duration::from_secs(2));

/// Result of a synchronization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether HAProxy was reloaded.
    pub reloaded: bool,
    /// Applied steps with their results.
    pub steps: Vec<Done>,
    /// The state that was read back at the end.
    pub seen: Seen,
    /// Whether that is the wanted state, apart from servers that are still to be deleted.
    pub in_sync: bool,
    /// Servers that will be deleted once they are idle.
    pub pending: Vec<String>,
    /// The difference from the wanted state, or the servers that are not Plimsoll's, in a sentence.
    pub message: Option<String>,
}

impl Report {
    /// Number of wanted replicas that get new requests.
    #[must_use]
    pub fn programmed(&self, wanted: &Wanted) -> usize {
        wanted
            .ready()
            .filter(|(pod, _)| self.seen.servers.get(*pod).is_some_and(|server| server.usable()))
            .count()
    }
}

/// A step and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The step.
    pub step: Step,
    /// HAProxy's answer.
    pub answer: Answer,
}

impl HaProxy {
    /// Sends all steps in one batch. If the connection breaks, the next plan contains the rest.
    pub(super) async fn apply(&self, wanted: &Wanted, steps: Vec<Step>) -> Result<Vec<Done>, DriverError> {
        let commands: Vec<Command> =
            steps.iter().map(|step| step.command(wanted, &self.paths)).collect::<Result<_, _>>()?;
        let mut answers = Vec::with_capacity(commands.len());
        socket::batch(&self.paths.admin, &commands, |command, answer| answers.push(command.answered(answer)))
            .await?;
        Ok(steps.into_iter().zip(answers).map(|(step, answer)| Done { step, answer }).collect())
    }

    /// Which of `pods` have no request here and will get none: those unknown to the balancer, and those that are
    /// draining and idle. The latter are put into maintenance first, since a session bound to one could return
    /// otherwise.
    ///
    /// Requests in processes from before a reload count too. While these still close the connections of idle clients,
    /// no pod counts as drained: a client may send one more request, and HAProxy refuses commands to a process that is
    /// ending ("Proxy is disabled").
    ///
    /// # Errors
    /// HAProxy does not answer.
    pub async fn drained(&self, wanted: &Wanted, pods: &[String]) -> Result<Vec<String>, DriverError> {
        if pods.is_empty() {
            return Ok(Vec::new());
        }
        let mut seen = self.observe().await?;
        let close: Vec<Step> = pods
            .iter()
            .filter(|pod| {
                let server = seen.servers.get(*pod);
                server.is_some_and(|server| server.admin == AdminState::Drain && server.idle())
            })
            .map(|pod| Step::Close(pod.clone()))
            .collect();
        if !close.is_empty() {
            self.apply(wanted, close).await?;
            seen = self.observe().await?;
        }
        let old = self.old_workers().await?;
        if !old.is_empty() && age(seen.epoch) < LEAVES {
            return Ok(Vec::new());
        }
        let before = self.ask_there(&old, &Command::ShowStat).await?;
        let before: Vec<_> = before.iter().map(|stat| Counts::read(stat)).collect::<Result<_, _>>()?;
        let over = |pod: &&String| {
            let closed = seen
                .servers
                .get(*pod)
                .is_none_or(|server| server.admin == AdminState::Maint && server.idle());
            closed && before.iter().all(|counts| counts.idle(pod))
        };
        Ok(pods.iter().filter(over).cloned().collect())
    }

    /// Puts those of `pods` that are draining into maintenance, so that clients bound to them by a cookie go to other
    /// replicas.
    ///
    /// # Errors
    /// HAProxy does not answer.
    pub async fn unbind(&self, wanted: &Wanted, pods: &BTreeSet<String>) -> Result<(), DriverError> {
        if pods.is_empty() {
            return Ok(());
        }
        let servers = self.servers().await?;
        let drained = servers.into_iter().filter(|(_, server)| server.admin == AdminState::Drain);
        let close: Vec<Step> =
            drained.filter(|(pod, _)| pods.contains(pod)).map(|(pod, _)| Step::Close(pod)).collect();
        if !close.is_empty() {
            self.apply(wanted, close).await?;
        }
        Ok(())
    }

    /// The answers to `stat` of the processes from before a reload that still finish their requests.
    pub(super) async fn before_reload(&self, stat: &Command) -> Result<Vec<String>, DriverError> {
        let workers = self.old_workers().await?;
        self.ask_there(&workers, stat).await
    }

    async fn ask_there(&self, workers: &[u32], stat: &Command) -> Result<Vec<String>, DriverError> {
        let mut stats = Vec::new();
        for pid in workers {
            let command = Command::ToWorker(*pid, Box::new(stat.clone()));
            let answer = socket::ask_master(&self.paths.master, &command).await?;
            // A process that has just ended has no answer and no requests.
            if answer.starts_with("# pxname") {
                stats.push(answer);
            }
        }
        Ok(stats)
    }

    /// Process ids of the workers from before a reload that still run.
    async fn old_workers(&self) -> Result<Vec<u32>, DriverError> {
        let processes = socket::ask_master(&self.paths.master, &Command::ShowProc).await?;
        let old = processes.lines().skip_while(|line| !line.starts_with("# old workers")).skip(1);
        let old = old.take_while(|line| !line.starts_with('#'));
        Ok(old.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect())
    }
}

/// How long a process has been running, by this machine's clock.
fn age(process: Epoch) -> Duration {
    let since = UNIX_EPOCH + Duration::from_secs(process.start);
    SystemTime::now().duration_since(since).unwrap_or_default()
}
