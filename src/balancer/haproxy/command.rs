//! Commands of the runtime API as types. What reaches a command line is of one alphabet, so that nothing can be
//! smuggled into one.

use std::{fmt, net::SocketAddr};

use super::keywords::Keywords;
use crate::balancer::Pem;

/// Longest name that is put into a command.
const LONGEST: usize = 253;

/// A name or path holds a character that has no place in a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not allowed in a command of HAProxy: 1 to 253 letters, digits and {allowed} are")]
pub struct BadWord {
    /// What was given, as far as 64 characters.
    pub text: String,
    /// The punctuation that is allowed.
    pub allowed: &'static str,
}

/// A name without space, `;`, `<`, `\`, newline or anything else that means something to HAProxy's command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(String);

impl Word {
    /// # Errors
    /// Something else than 1 to 253 of `[A-Za-z0-9_.:-]`.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        checked(text, "_.:-").map(Self)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a file, of the same alphabet and `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWord(String);

impl FileWord {
    /// # Errors
    /// Something else than 1 to 253 of `[A-Za-z0-9_.:/-]`.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        checked(text, "_.:-/").map(Self)
    }
}

impl fmt::Display for FileWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked(text: &str, allowed: &'static str) -> Result<String, BadWord> {
    let fits = |char: char| char.is_ascii_alphanumeric() || allowed.contains(char);
    if (1..=LONGEST).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(BadWord { text: text.chars().take(64).collect(), allowed })
    }
}

/// A server in a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName {
    /// The backend.
    pub backend: Word,
    /// The server.
    pub server: Word,
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}

/// Whether a server gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminState {
    /// It does.
    Ready,
    /// None but those that are bound to it.
    Drain,
    /// None; those that it has are finished. The only state in which a server can be deleted.
    Maint,
}

impl fmt::Display for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        })
    }
}

/// One command, as doc/management.txt of HAProxy 2.6 has it (section 9.3).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The process.
    ShowInfo,
    /// Servers with their administrative states.
    ShowServersState,
    /// Backends and servers with their counts.
    ShowStat,
    /// Frontends with their counts.
    ShowFrontends,
    /// Frontends and backends with their counts, without servers.
    ShowTotals,
    /// Takes no new connection, and is told to its clients with their next answers.
    ShutdownFrontend(Word),
    /// No new connections are taken, and those who try are refused.
    DisableFrontend(Word),
    /// A new server, in maintenance and with its check off.
    AddServer {
        /// Its name.
        name: ServerName,
        /// Where it listens.
        address: SocketAddr,
        /// What `default-server` says in the file, which this command ignores.
        keywords: Keywords,
    },
    /// Begins its checks.
    EnableHealth(ServerName),
    /// Its checks begin anew from good.
    SetHealthUp(ServerName),
    /// Whether it gets requests.
    SetState(ServerName, AdminState),
    /// Its share, 0 to 256.
    SetWeight(ServerName, u16),
    /// Requests at a time; 0 for any number.
    SetMaxconn(ServerName, u32),
    /// Where it listens.
    SetAddress(ServerName, SocketAddr),
    /// Makes the cookies of all servers anew: on 2.6 those that were added have none.
    SetCookieKey {
        /// The backend.
        backend: Word,
        /// The key.
        key: Word,
    },
    /// Removes it, if nothing holds it.
    DeleteServer(ServerName),
    /// The entries of a map.
    ShowMap(FileWord),
    /// Another value for a key of a map.
    SetMap(FileWord, Word, u8),
    /// A new key of a map.
    AddMap(FileWord, Word, u8),
    /// A new content for a certificate's file, not yet served.
    SetCertificate(FileWord, Pem),
    /// Serves it.
    CommitCertificate(FileWord),
    /// Forgets it.
    AbortCertificate(FileWord),
    /// Of the master: starts new workers with the file as it is now.
    Reload,
    /// Of the master: its workers.
    ShowProc,
    /// Of the master: another command, for the worker with this process id.
    ToWorker(u32, Box<Self>),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShowInfo => f.write_str("show info"),
            Self::ShowServersState => f.write_str("show servers state"),
            // All proxies, backends (2) and servers (4).
            Self::ShowStat => f.write_str("show stat -1 6 -1"),
            // All proxies, frontends (1).
            Self::ShowFrontends => f.write_str("show stat -1 1 -1"),
            Self::ShowTotals => f.write_str("show stat -1 3 -1"),
            Self::DisableFrontend(frontend) => write!(f, "disable frontend {frontend}"),
            Self::ShutdownFrontend(frontend) => write!(f, "shutdown frontend {frontend}"),
            Self::AddServer { name, address, keywords } => {
                write!(f, "add server {name} {}:{}{keywords}", address.ip(), address.port())
            }
            Self::EnableHealth(name) => write!(f, "enable health {name}"),
            Self::SetHealthUp(name) => write!(f, "set server {name} health up"),
            Self::SetState(name, state) => write!(f, "set server {name} state {state}"),
            Self::SetWeight(name, weight) => write!(f, "set server {name} weight {weight}"),
            Self::SetMaxconn(name, maxconn) => write!(f, "set maxconn server {name} {maxconn}"),
            Self::SetAddress(name, address) => {
                write!(f, "set server {name} addr {} port {}", address.ip(), address.port())
            }
            Self::SetCookieKey { backend, key } => {
                write!(f, "set dynamic-cookie-key backend {backend} {key}")
            }
            Self::DeleteServer(name) => write!(f, "del server {name}"),
            Self::ShowMap(file) => write!(f, "show map {file}"),
            Self::SetMap(file, key, value) => write!(f, "set map {file} {key} {value}"),
            Self::AddMap(file, key, value) => write!(f, "add map {file} {key} {value}"),
            Self::SetCertificate(file, pem) => write!(f, "set ssl cert {file} <<\n{}", pem.as_str()),
            Self::CommitCertificate(file) => write!(f, "commit ssl cert {file}"),
            Self::AbortCertificate(file) => write!(f, "abort ssl cert {file}"),
            Self::Reload => f.write_str("reload"),
            Self::ShowProc => f.write_str("show proc"),
            Self::ToWorker(pid, command) => write!(f, "@!{pid} {command}"),
        }
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// Not now: something still holds the server.
    Busy,
    /// It was not done, and why.
    Refused(String),
}

impl Command {
    /// What `text` means as the answer to this command. The words are those of HAProxy 2.4 to 3.4.
    #[must_use]
    pub fn answered(&self, text: &str) -> Answer {
        let text = text.trim();
        let done = match self {
            Self::AddServer { .. } => text.starts_with("New server registered"),
            Self::DeleteServer(_) => {
                if text.starts_with("Server still has connections") || text.contains("not removable") {
                    return Answer::Busy;
                }
                text.starts_with("Server deleted") || text.starts_with("No such server")
            }
            Self::SetAddress(..) => text.contains("changed from") || text.starts_with("no need to change"),
            Self::CommitCertificate(_) => text.ends_with("Success!"),
            Self::SetCertificate(..) => {
                text.contains("Transaction created") || text.contains("Transaction updated")
            }
            Self::ShowInfo
            | Self::ShowServersState
            | Self::ShowStat
            | Self::ShowFrontends
            | Self::ShowTotals
            | Self::ShowProc => !text.is_empty(),
            Self::Reload => !text.starts_with("Success=0"),
            Self::ToWorker(_, command) => return command.answered(text),
            _ => text.is_empty(),
        };
        if done {
            Answer::Done
        } else {
            // Enough to understand it, and bounded.
            Answer::Refused(text.lines().next().unwrap_or("no answer").chars().take(200).collect())
        }
    }
}
