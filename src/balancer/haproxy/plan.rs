//! Plans the steps from the running state to the wanted one. Pure.
//!
//! Steps that add capacity come before those that remove it: at no time are fewer servers usable than before or after,
//! whichever is less. At no time is the share of the service or of a standby larger than before or after, whichever is
//! more. The plan for a reached state is empty, so an interrupted plan is simply made again.

mod failover;

use std::net::SocketAddr;

use super::{
    backend::{GATE, backend, cookie_key},
    command::{AdminState, BadWord, Command, FileWord, ServerName, Word},
    keywords::Keywords,
    limits,
    paths::Paths,
    seen::{Seen, SeenServer},
    standbys::backend_of,
};
use crate::balancer::{Server, ServerState, Wanted};

/// One change of a running HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Adds a server in maintenance. If there is a limit, it starts with one concurrent request.
    Add(String, SocketAddr),
    /// Derives cookies for servers that were added.
    Cookies,
    /// Changes the address of a server.
    Move(String, SocketAddr),
    /// Limits concurrent requests; 0 for no limit.
    Limit(String, u32),
    /// Starts the health checks.
    Check(String),
    /// Discards the result of the health checks at the previous address.
    Forget(String),
    /// Sets the full weight.
    Share(String),
    /// The server gets requests.
    Ready(String),
    /// The server gets only requests of sessions bound to it.
    Drain(String),
    /// The server gets no requests at all; those in progress finish.
    Close(String),
    /// Changes the bound of a standby in the map of shares.
    Bound(String, u8),
    /// Adds the bound of a standby to the map of shares.
    NewBound(String, u8),
    /// Deletes a server. Refused while it is in use; the next plan contains it again.
    Delete(String),
}

impl Step {
    /// The server that the step concerns, if any.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Cookies | Self::Bound(..) | Self::NewBound(..) => None,
            Self::Add(server, _) | Self::Move(server, _) | Self::Limit(server, _) => Some(server),
            Self::Check(server)
            | Self::Forget(server)
            | Self::Share(server)
            | Self::Ready(server)
            | Self::Drain(server)
            | Self::Close(server)
            | Self::Delete(server) => Some(server),
        }
    }

    /// The command for the step.
    ///
    /// # Errors
    /// A name is not valid in a command of HAProxy.
    pub fn command(&self, wanted: &Wanted, paths: &Paths) -> Result<Command, BadWord> {
        let name = |server: &str| {
            let backend = Word::new(&backend_of(wanted, server))?;
            Ok(ServerName { backend, server: Word::new(server)? })
        };
        let map = || FileWord::new(&paths.shares.display().to_string());
        Ok(match self {
            Self::Add(server, address) => {
                // On 2.6 a server that becomes ready takes as many requests from the queue as its limit allows, before
                // any of them is counted: up to twice the limit. A limit that is set after the server is ready is
                // respected.
                let maxconn = wanted.connections_per_server().map(|_| 1);
                let keywords = Keywords::of(&wanted.traffic).with_maxconn(maxconn);
                Command::AddServer { name: name(server)?, address: *address, keywords }
            }
            Self::Cookies => Command::SetCookieKey {
                key: Word::new(&cookie_key(wanted))?,
                backend: Word::new(backend(wanted))?,
            },
            Self::Bound(standby, below) => Command::SetMap(map()?, Word::new(standby)?, *below),
            Self::NewBound(standby, below) => Command::AddMap(map()?, Word::new(standby)?, *below),
            Self::Move(server, address) => Command::SetAddress(name(server)?, *address),
            Self::Limit(server, most) => Command::SetMaxconn(name(server)?, *most),
            Self::Check(server) => Command::EnableHealth(name(server)?),
            Self::Forget(server) => Command::SetHealthUp(name(server)?),
            Self::Share(server) => Command::SetWeight(name(server)?, 1),
            Self::Ready(server) => Command::SetState(name(server)?, AdminState::Ready),
            Self::Drain(server) => Command::SetState(name(server)?, AdminState::Drain),
            Self::Close(server) => Command::SetState(name(server)?, AdminState::Maint),
            Self::Delete(server) => Command::DeleteServer(name(server)?),
        })
    }
}

/// Steps from `seen` to `wanted`; empty when it is reached.
///
/// `seen` must have the wanted structure: a difference there needs a reload.
#[must_use]
pub fn plan(wanted: &Wanted, seen: &Seen) -> Vec<Step> {
    let checks = Keywords::of(&wanted.traffic).checks();
    let sticky = wanted.traffic.session_persistence.is_some();
    let most = limits::of_replica(wanted, seen);
    let mut plan = Phases::default();
    for (pod, server) in &wanted.servers {
        match seen.servers.get(pod) {
            None => plan.add(pod, server, most, checks),
            Some(before) => plan.change(pod, server, before, most, checks),
        }
        plan.cookies |= sticky && seen.servers.get(pod).is_none_or(|before| !before.cookie);
    }
    if wanted.gate.is_some() && seen.gate.is_some_and(|gate| gate.admin != AdminState::Ready) {
        plan.ready.push(Step::Ready(GATE.to_owned()));
    }
    plan.fail_over(wanted, seen, checks);
    if let Some(gate) = seen.gate {
        let serves = wanted.ready().next().is_some();
        let serves = serves || !wanted.instead().is_empty();
        let most = limits::of_gate(wanted, gate.queued > 0 && serves);
        if gate.maxconn != most {
            plan.instead.push(Step::Limit(GATE.to_owned(), most));
        }
    }
    for (pod, before) in &seen.servers {
        if !wanted.servers.contains_key(pod) {
            plan.remove(pod, before);
        }
    }
    plan.in_order()
}

/// Steps in the order of execution.
#[derive(Default)]
struct Phases {
    add: Vec<Step>,
    cookies: bool,
    prepare: Vec<Step>,
    ready: Vec<Step>,
    limit: Vec<Step>,
    shares: Vec<Step>,
    instead: Vec<Step>,
    take: Vec<Step>,
}

impl Phases {
    fn add(&mut self, pod: &str, server: &Server, most: u32, checks: bool) {
        self.add.push(Step::Add(pod.to_owned(), server.address));
        if most > 1 {
            self.limit.push(Step::Limit(pod.to_owned(), most));
        }
        if checks {
            self.prepare.push(Step::Check(pod.to_owned()));
        }
        match server.state {
            ServerState::Ready => self.ready.push(Step::Ready(pod.to_owned())),
            ServerState::Drain => self.take.push(Step::Drain(pod.to_owned())),
        }
    }

    fn change(&mut self, pod: &str, server: &Server, before: &SeenServer, most: u32, checks: bool) {
        if before.address != server.address {
            self.prepare.push(Step::Move(pod.to_owned(), server.address));
        }
        if before.maxconn != most {
            self.prepare.push(Step::Limit(pod.to_owned(), most));
        }
        if checks && !before.checked {
            self.prepare.push(Step::Check(pod.to_owned()));
        }
        if checks && before.address != server.address {
            self.prepare.push(Step::Forget(pod.to_owned()));
        }
        match (server.state, before.admin) {
            (ServerState::Ready, admin) => {
                if before.weight == 0 {
                    self.ready.push(Step::Share(pod.to_owned()));
                }
                if admin != AdminState::Ready {
                    self.ready.push(Step::Ready(pod.to_owned()));
                }
            }
            (ServerState::Drain, AdminState::Ready) => self.take.push(Step::Drain(pod.to_owned())),
            // A drained and idle server is in maintenance and stays there, so that no session returns to it.
            (ServerState::Drain, AdminState::Drain | AdminState::Maint) => {}
        }
    }

    fn remove(&mut self, pod: &str, before: &SeenServer) {
        if before.admin != AdminState::Maint {
            self.take.push(Step::Close(pod.to_owned()));
        }
        if before.idle() {
            self.take.push(Step::Delete(pod.to_owned()));
        }
    }

    fn in_order(self) -> Vec<Step> {
        let Self { mut add, cookies, prepare, ready, limit, shares, instead, take } = self;
        if cookies {
            add.push(Step::Cookies);
        }
        let more = add.into_iter().chain(prepare).chain(ready).chain(limit);
        more.chain(shares).chain(instead).chain(take).collect()
    }
}
