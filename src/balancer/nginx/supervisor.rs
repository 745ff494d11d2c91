//! `lb-agent supervise`: runs NGINX as the first process of its container. Over a socket in the shared folder, it reports
//! NGINX's processes to the agent in another container, and reloads NGINX for it. So the containers need no shared process
//! namespace, in which NGINX could read the agent's token.

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

/// Timeout of an answer: longer than NGINX takes to deliver a signal.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer; a worker takes about 60.
const LONGEST: u64 = 256 << 10;
/// Pause after a failed accept.
const UNACCEPTED: Duration = Duration::from_millis(100);

/// A request of the agent, as a line of JSON; one per connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Request {
    /// List the processes: answered by an `Option<Processes>`.
    Processes,
    /// Reload the configuration: answered by the result of [`program::signal`].
    Reload,
}

/// NGINX can't be supervised.
#[derive(Debug, Error)]
pub enum SuperviseError {
    /// It can't be started.
    #[error("can't start NGINX: {0}")]
    Start(io::Error),
    /// The socket for the agent can't be opened.
    #[error("{path}: {error}")]
    Socket {
        /// Path of the socket.
        path: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The port for the kubelet can't be opened.
    #[error("can't listen on port {port}: {error}")]
    Port {
        /// The port.
        port: u16,
        /// The error of the operating system.
        error: io::Error,
    },
    /// Signals can't be received.
    #[error("can't receive signals: {0}")]
    Signals(io::Error),
}

/// Runs NGINX with the configuration of `paths` until it exits, and returns its exit code. As with NGINX itself, SIGTERM and
/// SIGINT stop it immediately, and SIGQUIT after it has finished its requests.
///
/// # Errors
/// NGINX can't be started, or the endpoints for the agent and the kubelet can't be opened.
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

/// A socket for this user only. It replaces a socket left by a previous container.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Signals NGINX, or kills it if it can't be signaled, for example because it has no PID file yet.
async fn end(nginx: &mut Child, paths: &Paths, how: &str) {
    if !matches!(program::signal(paths, how).await, Ok((true, _))) {
        // Fails only if NGINX has already exited.
        let _gone = nginx.start_kill();
    }
}

/// Answers one request. Errors of the connection are ignored, since the agent has gone away.
async fn answer(stream: UnixStream, paths: Paths) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let asked = timeout(PATIENCE, (&mut stream).take(LONGEST).read_line(&mut line)).await;
    if !matches!(asked, Ok(Ok(_))) {
        return;
    }
    let text = match serde_json::from_str(&line) {
        Ok(Request::Processes) => serde_json::to_string(&Processes::here(&paths.pid)),
        Ok(Request::Reload) => {
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
    ask(socket, Request::Processes).await
}

/// Reloads an NGINX in another container. Returns whether the signal was delivered, and the output.
///
/// # Errors
/// Its supervisor does not answer.
pub(super) async fn reload(socket: &Path) -> Result<(bool, String), DriverError> {
    ask(socket, Request::Reload).await
}

async fn ask<T: DeserializeOwned>(socket: &Path, request: Request) -> Result<T, DriverError> {
    let down = |cause: &str| DriverError::Down(format!("its supervisor does not answer: {cause}"));
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        let line = serde_json::to_string(&request).unwrap_or_default() + "\n";
        stream.write_all(line.as_bytes()).await?;
        let mut text = String::new();
        stream.take(LONGEST).read_to_string(&mut text).await?;
        Ok::<_, io::Error>(text)
    };
    let text = match timeout(PATIENCE, exchange).await {
        Ok(text) => text.map_err(|error| down(&error.to_string()))?,
        Err(_) => return Err(down("no answer within 5 s")),
    };
    serde_json::from_str(&text).map_err(|error| down(&error.to_string()))
}
