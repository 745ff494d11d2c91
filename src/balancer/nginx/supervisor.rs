//! `lb-agent supervise`: runs NGINX as the first process of its container. It tells the agent, which is in another
//! container, of NGINX's processes and has NGINX reload, over a socket in the shared folder. The two containers need no
//! common process namespace, in which NGINX could read the agent's token.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, UnixListener, UnixStream},
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

use super::{health, paths::Paths, process::Processes, program};
use crate::balancer::DriverError;

/// The longest answer in time: longer than NGINX takes to hand a signal on.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer in bytes; a worker takes about 60.
const LONGEST: u64 = 256 << 10;
/// Pause after a connection that could not be accepted.
const UNACCEPTED: Duration = Duration::from_millis(100);

/// What the agent asks; one question on each connection, as a line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    /// Which processes there are: answered by an `Option<Processes>`.
    Processes,
    /// Have new workers take the configuration over: answered as [`program::signal`] is.
    Reload,
}

/// NGINX can't be supervised.
#[derive(Debug, Error)]
pub enum SuperviseError {
    /// It can't be started.
    #[error("NGINX can't be started: {0}")]
    Start(io::Error),
    /// The agent could not ask.
    #[error("{path}: {error}")]
    Socket {
        /// Of the socket.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The kubelet could not ask.
    #[error("port {port} can't be served: {error}")]
    Port {
        /// The port.
        port: u16,
        /// What the system says.
        error: io::Error,
    },
    /// Signals can't be received.
    #[error("signals can't be received: {0}")]
    Signals(io::Error),
}

/// Runs NGINX with the configuration of `paths` until it ends, and returns its exit code. SIGTERM and SIGINT stop it at
/// once, SIGQUIT when it has finished its requests, as they do with NGINX itself.
///
/// # Errors
/// NGINX can't be started, or agent and kubelet could not ask of it.
pub async fn supervise(paths: &Paths) -> Result<ExitCode, SuperviseError> {
    let port = paths.health;
    let health = TcpListener::bind((paths.listen, port)).await;
    let health = health.map_err(|error| SuperviseError::Port { port, error })?;
    tokio::select! {
        ended = run(paths) => ended,
        never = health::serve(health, paths) => match never {},
    }
}

async fn run(paths: &Paths) -> Result<ExitCode, SuperviseError> {
    let socket = &paths.supervisor;
    let error = |error| SuperviseError::Socket { path: socket.display().to_string(), error };
    let listener = listen(socket).map_err(error)?;
    let taken = |kind| signal(kind).map_err(SuperviseError::Signals);
    let mut stops: [Signal; 2] = [taken(SignalKind::terminate())?, taken(SignalKind::interrupt())?];
    let mut quit = taken(SignalKind::quit())?;
    let mut nginx = Command::new(&paths.program)
        .args(["-e", "stderr", "-c"])
        .arg(&paths.config)
        .stdin(Stdio::null())
        .spawn()
        .map_err(SuperviseError::Start)?;
    loop {
        let [terminate, interrupt] = &mut stops;
        tokio::select! {
            ended = nginx.wait() => {
                let code = ended.map_err(SuperviseError::Start)?.code();
                return Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, paths.clone()))),
                Err(_) => sleep(UNACCEPTED).await,
            },
            _ = terminate.recv() => end(&mut nginx, paths, "stop").await,
            _ = interrupt.recv() => end(&mut nginx, paths, "stop").await,
            _ = quit.recv() => end(&mut nginx, paths, "quit").await,
        }
    }
}

/// A socket for this user alone, in the place of one that a container before has left.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// One that has no process id yet takes no signal.
async fn end(nginx: &mut Child, paths: &Paths, how: &str) {
    if !matches!(program::signal(paths, how).await, Ok((true, _))) {
        // It is gone already if that fails.
        let _gone = nginx.start_kill();
    }
}

/// Who asks and goes away gets no answer.
async fn answer(stream: UnixStream, paths: Paths) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let asked = timeout(PATIENCE, (&mut stream).take(LONGEST).read_line(&mut line)).await;
    if !matches!(asked, Ok(Ok(_))) {
        return;
    }
    let text = match serde_json::from_str(&line) {
        Ok(Question::Processes) => serde_json::to_string(&Processes::here(&paths.pid)),
        Ok(Question::Reload) => {
            let done = program::signal(&paths, "reload").await;
            serde_json::to_string(&done.unwrap_or_else(|error| (false, error.to_string())))
        }
        Err(_) => return,
    };
    let _gone = stream.write_all(text.unwrap_or_default().as_bytes()).await;
}

/// The processes of an NGINX in another container; `None` while it has no master.
///
/// # Errors
/// Its supervisor does not answer.
pub(super) async fn processes(socket: &Path) -> Result<Option<Processes>, DriverError> {
    ask(socket, Question::Processes).await
}

/// Has an NGINX in another container reload: whether it took the signal, and what was said.
///
/// # Errors
/// Its supervisor does not answer.
pub(super) async fn reload(socket: &Path) -> Result<(bool, String), DriverError> {
    ask(socket, Question::Reload).await
}

async fn ask<T: DeserializeOwned>(socket: &Path, question: Question) -> Result<T, DriverError> {
    let down = |words: &str| DriverError::Down(format!("NGINX's container does not answer: {words}"));
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        let line = serde_json::to_string(&question).unwrap_or_default() + "\n";
        stream.write_all(line.as_bytes()).await?;
        let mut text = String::new();
        stream.take(LONGEST).read_to_string(&mut text).await?;
        Ok::<_, io::Error>(text)
    };
    let text = match timeout(PATIENCE, exchange).await {
        Ok(text) => text.map_err(|error| down(&error.to_string()))?,
        Err(_) => return Err(down("nothing within 5 s")),
    };
    serde_json::from_str(&text).map_err(|error| down(&error.to_string()))
}
