//! Copies of HAProxy's listening sockets, kept by the agent: after HAProxy has died, new connections wait in the
//! kernel's queue for its next start instead of being refused.

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

/// HAProxy's timeout for each part of a handover, and ours for all of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the copies are kept after HAProxy has died. The kubelet restarts a container within a second or two, but
/// after a second crash only after 10 s (its back-off), when clients do better to try another balancer.
const KEPT: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The copies, and the socket from which a starting HAProxy gets them.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    copies: Mutex<Copies>,
}

#[derive(Debug, Default)]
struct Copies {
    /// Whether [`Listening::serve`] hands them out. A HAProxy that starts without them opens its own sockets, and
    /// copies would take connections away from those.
    handed_out: bool,
    sockets: Vec<TcpListener>,
    /// The process that all of them were taken from.
    of: Option<Epoch>,
    /// Since when no HAProxy runs.
    missing: Option<Instant>,
}

impl Copies {
    /// Closes the copies: connections that wait in them are refused.
    fn close(&mut self) {
        self.sockets.clear();
        self.of = None;
    }
}

impl Listening {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, copies: Mutex::default() }
    }

    /// Copies the sockets of the clients' ports from the HAProxy at the socket `admin`, unless the copies are already
    /// from that process.
    ///
    /// # Errors
    /// HAProxy does not hand them over.
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
            // The process has taken them over by now, or has its own.
            copies.close();
        }
        let taken = handover::take(admin).await?.into_iter().map(TcpListener::from);
        let port = |socket: &TcpListener| Some(socket.local_addr().ok()?.port());
        // The port for metrics and the unix sockets must be closed while HAProxy does not run.
        let sockets: Vec<_> =
            taken.filter(|socket| port(socket).is_some_and(|port| ports.contains(&port))).collect();
        let complete = sockets.iter().filter_map(port).collect::<BTreeSet<_>>() == *ports;
        let mut copies = self.copies();
        (copies.sockets, copies.of) = (sockets, complete.then_some(process));
        Ok(())
    }

    /// Records that no HAProxy runs. After 5 s the copies are closed: waiting and new connections are refused.
    pub(super) fn missed(&self) {
        let mut copies = self.copies();
        if copies.missing.get_or_insert_with(Instant::now).elapsed() >= KEPT {
            copies.close();
        }
    }

    /// Hands the copies to each starting HAProxy, until it is dropped. If the socket for that can't be bound, no copies
    /// are kept.
    pub async fn serve(&self) {
        let listener = match self.bind() {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "can't keep listening sockets: if HAProxy dies, clients are refused");
                return pending().await;
            }
        };
        self.copies().handed_out = true;
        loop {
            let given = match listener.accept().await {
                Ok((stream, _)) => timeout(PATIENCE, self.answer(stream)).await,
                Err(error) => {
                    tracing::warn!(%error, "a starting HAProxy can't connect for its listening sockets");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = given.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
                tracing::warn!(%error, "a starting HAProxy did not take over its listening sockets");
                self.copies().close();
            }
        }
    }

    fn bind(&self) -> io::Result<UnixListener> {
        // A killed agent leaves its socket behind.
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
