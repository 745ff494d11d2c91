//! Commands of the runtime API as types. Names and paths are restricted to a small alphabet, so that a value can't
//! inject another command.

use std::{fmt, net::SocketAddr};

use super::keywords::Keywords;
use crate::balancer::Pem;

/// Longest name in a command.
const LONGEST: usize = 253;

/// A name or path is empty, too long, or contains a character that is not allowed in a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not allowed in a command of HAProxy: 1 to 253 letters, digits and {allowed} are")]
pub struct BadWord {
    /// The value that was found, cut to 64 characters.
    pub text: String,
    /// The punctuation that is allowed.
    pub allowed: &'static str,
}

/// A name without space, `;`, `<`, `\`, newline or anything else that is special on HAProxy's command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(String);

impl Word {
    /// # Errors
    /// The text is not 1 to 253 of `[A-Za-z0-9_.:-]`.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        checked(text, "_.:-").map(Self)
    }

    /// The text.
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

/// The path of a file: the same alphabet and `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWord(String);

impl FileWord {
    /// # Errors
    /// The text is not 1 to 253 of `[A-Za-z0-9_.:/-]`.
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

/// Administrative state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminState {
    /// Gets requests.
    Ready,
    /// Gets only requests of sessions that are bound to it.
    Drain,
    /// Gets no requests; those in progress finish. Only in this state can a server be deleted.
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

/// One command, from doc/management.txt of HAProxy 2.6 (section 9.3).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Information about the process.
    ShowInfo,
    /// Servers with their administrative states.
    ShowServersState,
    /// Backends and servers with their counts.
    ShowStat,
    /// Frontends with their counts.
    ShowFrontends,
    /// Frontends and backends with their counts, without servers.
    ShowTotals,
    /// Stops a frontend: it accepts no new connection, and tells its clients with the next response to close theirs.
    ShutdownFrontend(Word),
    /// Disables a frontend: new connections are refused.
    DisableFrontend(Word),
    /// Adds a server, in maintenance and with its health check off.
    AddServer {
        /// Its name.
        name: ServerName,
        /// Its address.
        address: SocketAddr,
        /// The keywords of `default-server` in the file, which this command ignores.
        keywords: Keywords,
    },
    /// Starts the health checks.
    EnableHealth(ServerName),
    /// Resets the result of the health checks to up.
    SetHealthUp(ServerName),
    /// Sets the administrative state.
    SetState(ServerName, AdminState),
    /// Sets the weight, 0 to 256.
    SetWeight(ServerName, u16),
    /// Limits concurrent requests; 0 for no limit.
    SetMaxconn(ServerName, u32),
    /// Sets the address.
    SetAddress(ServerName, SocketAddr),
    /// Derives the cookies of all servers again: on 2.6, servers added at runtime have none.
    SetCookieKey {
        /// The backend.
        backend: Word,
        /// The key.
        key: Word,
    },
    /// Deletes a server that is not in use.
    DeleteServer(ServerName),
    /// Lists the entries of a map.
    ShowMap(FileWord),
    /// Changes the value of a key in a map.
    SetMap(FileWord, Word, u8),
    /// Adds a key to a map.
    AddMap(FileWord, Word, u8),
    /// Uploads a new content for a certificate's file, without serving it yet.
    SetCertificate(FileWord, Pem),
    /// Serves the uploaded certificate.
    CommitCertificate(FileWord),
    /// Discards the uploaded certificate.
    AbortCertificate(FileWord),
    /// To the master: starts new workers with the current file.
    Reload,
    /// To the master: lists its workers.
    ShowProc,
    /// To the master: runs another command in the worker with this process id.
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

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command was executed.
    Done,
    /// Not possible now: the server is still in use.
    Busy,
    /// The command was refused, with the reason.
    Refused(String),
}

impl Command {
    /// Interprets `text` as the answer to this command. The texts are those of HAProxy 2.4 to 3.4.
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
            // Bounded, but long enough to understand the reason.
            Answer::Refused(text.lines().next().unwrap_or("no answer").chars().take(200).collect())
        }
    }
}
