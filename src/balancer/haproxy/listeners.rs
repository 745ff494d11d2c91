//! Counts the connections of clients, and closes the listeners of a HAProxy.

use super::{
    HaProxy, NAME,
    command::{Answer, Command, Word},
    frontend::LISTENERS,
    seen::{Stat, Unreadable},
    socket,
};
use crate::balancer::DriverError;

/// Connections of clients, without those for metrics and health checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Open connections, idle or not, including those of processes from before a reload.
    pub now: u64,
    /// All connections since the start of the current process.
    pub ever: u64,
}

impl Clients {
    /// Parses `show stat` of frontends.
    fn read(stat: &str) -> Result<Self, Unreadable> {
        let stat = Stat::read(stat)?;
        let proxy = stat.place("pxname")?;
        let row = stat.rows().find(|fields| fields.get(proxy).copied() == Some(LISTENERS));
        let fields = row.ok_or(Stat::missing(LISTENERS))?;
        Ok(Self { now: stat.number(&fields, "scur")?, ever: stat.number(&fields, "stot")? })
    }
}

impl HaProxy {
    /// Reads the connections of clients.
    ///
    /// # Errors
    /// HAProxy does not answer.
    pub async fn clients(&self) -> Result<Clients, DriverError> {
        let answer = socket::ask(&self.paths.admin, &Command::ShowFrontends).await?;
        let mut clients = Clients::read(&answer)?;
        for stat in self.before_reload(&Command::ShowFrontends).await? {
            clients.now += Clients::read(&stat)?.now;
        }
        Ok(clients)
    }

    /// Stops accepting connections, and tells each client with the next response to close its connection.
    ///
    /// # Errors
    /// HAProxy does not answer, or refuses.
    pub async fn close_listeners(&self) -> Result<(), DriverError> {
        // A shutdown alone keeps the ports open for a process that could take them over, so that new connections would
        // wait until they time out.
        let mut refused = None;
        for command in [Command::DisableFrontend, Command::ShutdownFrontend] {
            let command = command(Word::new(LISTENERS)?);
            let answer = socket::ask(&self.paths.admin, &command).await?;
            match command.answered(&answer) {
                Answer::Refused(words) if !words.contains("already") && !words.contains("previously") => {
                    refused.get_or_insert(words);
                }
                _ => {}
            }
        }
        refused.map_or(Ok(()), |words| Err(DriverError::Refused { by: NAME, words }))
    }
}
