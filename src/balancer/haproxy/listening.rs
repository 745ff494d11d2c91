//! Copies of HAProxy's listening sockets, kept by the agent: whoever connects between HAProxy's death and its next start
//! waits in the kernel's queue, where otherwise they would be refused.

use std::{
    collections::BTreeSet,
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{handover, socket::SocketError};
use crate::balancer::Epoch;

/// How long HAProxy waits for each part of a handover, and we for all of it.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// The process that they were taken from.
    of: Option<Epoch>,
    /// Since when none runs.
    missing: Option<Instant>,
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
        }
        let taken = handover::take(admin).await?.into_iter().map(TcpListener::from);
        // Its own metrics and sockets have to be found closed when it does not run.
        let is_a_client_s =
            |socket: &TcpListener| socket.local_addr().is_ok_and(|address| ports.contains(&address.port()));
        let sockets = taken.filter(is_a_client_s).collect();
        let mut copies = self.copies();
        (copies.sockets, copies.of) = (sockets, Some(process));
        Ok(())
    }

    /// No HAProxy runs: whoever has waited for one for `patience` is refused, and everybody after.
    pub(super) fn missed(&self, patience: Duration) {
        let mut copies = self.copies();
        if copies.missing.get_or_insert_with(Instant::now).elapsed() >= patience {
            copies.sockets.clear();
            copies.of = None;
        }
    }

    /// Hands the copies to each HAProxy that starts, until it is dropped.
    ///
    /// # Errors
    /// The socket can't be served.
    pub async fn serve(&self) -> io::Result<()> {
        // An agent that was killed left its own behind.
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&self.path)?;
        self.copies().handed_out = true;
        loop {
            let (stream, _) = listener.accept().await?;
            if let Err(error) = timeout(PATIENCE, self.answer(stream)).await.unwrap_or(Ok(())) {
                tracing::warn!(%error, "HAProxy did not take its listening sockets");
            }
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
