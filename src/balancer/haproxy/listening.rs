//! Copies of HAProxy's listening sockets, kept by the agent: whoever connects between HAProxy's death and its next start
//! waits in the kernel's queue, where otherwise they would be refused.

use std::{
    collections::BTreeSet,
    fs,
    future::pending,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

use super::{handover, socket::SocketError};
use crate::balancer::Epoch;

/// How long HAProxy waits for each part of a handover, and we for all of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long a HAProxy that died is waited for: the kubelet starts a container anew within a second or two, but after a
/// second death only after 10 s (its back-off), in which clients do better to try another balancer.
const KEPT: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The copies, and the socket at which a HAProxy that starts gets them.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    copies: Mutex<Copies>,
}

#[derive(Debug, Default)]
struct Copies {
    /// Whether somebody hands them out: a HAProxy that starts without them has sockets of its own, beside which copies would
    /// only take connections away.
    handed_out: bool,
    sockets: Vec<TcpListener>,
    /// The process that all of them were taken from.
    of: Option<Epoch>,
    /// Since when none runs.
    missing: Option<Instant>,
}

impl Copies {
    /// Whoever waits in them is refused.
    fn close(&mut self) {
        self.sockets.clear();
        self.of = None;
    }
}

impl Listening {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, copies: Mutex::default() }
    }

    /// Takes copies of the clients' ports of the HAProxy at the socket `admin`, unless it is the process that they are from.
    ///
    /// # Errors
    /// It does not hand them out.
    pub(super) async fn follow(
        &self,
        admin: &Path,
        process: Epoch,
        ports: &BTreeSet<u16>,
    ) -> Result<(), SocketError> {
        {
            let mut copies = self.copies();
            copies.missing = None;
            if !copies.handed_out || copies.of == Some(process) {
                return Ok(());
            }
            // It has taken them over by now, or has its own.
            copies.close();
        }
        let taken = handover::take(admin).await?.into_iter().map(TcpListener::from);
        let port = |socket: &TcpListener| Some(socket.local_addr().ok()?.port());
        // HAProxy's own metrics and sockets have to be found closed when it does not run.
        let sockets: Vec<_> =
            taken.filter(|socket| port(socket).is_some_and(|port| ports.contains(&port))).collect();
        let complete = sockets.iter().filter_map(port).collect::<BTreeSet<_>>() == *ports;
        let mut copies = self.copies();
        (copies.sockets, copies.of) = (sockets, complete.then_some(process));
        Ok(())
    }

    /// No HAProxy runs: after 5 s whoever waits for one is refused, and everybody after.
    pub(super) fn missed(&self) {
        let mut copies = self.copies();
        if copies.missing.get_or_insert_with(Instant::now).elapsed() >= KEPT {
            copies.close();
        }
    }

    /// Hands the copies to each HAProxy that starts, until it is dropped. Without the socket for that there are no copies.
    pub async fn serve(&self) {
        let listener = match self.bind() {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "no copies of HAProxy's listening sockets: when it dies, clients are refused");
                return pending().await;
            }
        };
        self.copies().handed_out = true;
        loop {
            let given = match listener.accept().await {
                Ok((stream, _)) => timeout(PATIENCE, self.answer(stream)).await,
                Err(error) => {
                    tracing::warn!(%error, "a HAProxy that starts can't connect");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = given.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
                tracing::warn!(%error, "a HAProxy that starts did not take its listening sockets");
                self.copies().close();
            }
        }
    }

    fn bind(&self) -> io::Result<UnixListener> {
        // An agent that was killed left its own behind.
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => UnixListener::bind(&self.path),
        }
    }

    async fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        (&mut stream).take(64).read_line(&mut line).await?;
        if line.trim_end() != handover::ASK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let copies: Result<Vec<TcpListener>, _> =
            self.copies().sockets.iter().map(TcpListener::try_clone).collect();
        handover::give(stream.into_inner(), &copies?).await
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
