//! The clients of a HAProxy, and how it lets go of them.

use super::{
    HaProxy, NAME,
    command::{Answer, Command, Word},
    frontend::LISTENERS,
    seen::{Stat, Unreadable},
    socket,
};
use crate::balancer::DriverError;

/// Connections of clients, metrics and health checks left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Open ones, idle or not, also those of processes before a reload.
    pub now: u64,
    /// All that the present process ever had.
    pub ever: u64,
}

impl Clients {
    /// From `show stat` of frontends.
    fn read(stat: &str) -> Result<Self, Unreadable> {
        let stat = Stat::read(stat)?;
        let proxy = stat.place("pxname")?;
        let row = stat.rows().find(|fields| fields.get(proxy).copied() == Some(LISTENERS));
        let fields = row.ok_or(Stat::missing(LISTENERS))?;
        Ok(Self { now: stat.number(&fields, "scur")?, ever: stat.number(&fields, "stot")? })
    }
}

impl HaProxy {
    /// Its clients now.
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

    /// Takes no new connection any more, and tells each client with its next answer to close its own.
    ///
    /// # Errors
    /// HAProxy does not answer, or refuses.
    pub async fn close_listeners(&self) -> Result<(), DriverError> {
        // Shut down alone, it keeps its ports open for a process that could take them over, and who connects waits for nobody.
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
