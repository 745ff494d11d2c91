//! `/healthz` of NGINX, answered by its supervisor.
//!
//! NGINX has one pool of connections for all its ports (`worker_connections`), and `limit_conn` counts only requests whose head
//! was read. Clients that send incomplete heads or TLS handshakes may therefore use up the whole pool. A `/healthz` served by
//! NGINX itself would then fail, and all balancers of the service would become unready at the same time.
//!
//! No limit of NGINX prevents this: every worker accepts connections of every port, `backlog` counts connections that are not
//! yet accepted, and after a shorter `client_header_timeout` a client reconnects. The supervisor is the first process of the
//! same container. It needs no connection of the pool for its clients, and it exits with NGINX.
//!
//! NGINX is alive if it answers, and also if it closes a connection without an answer: a worker without a free connection
//! does so immediately. It is not alive if its port refuses the connection, if the answer takes too long, or if its workers
//! exit instead of answering.
//!
//! Every client that reaches the pod can connect to this port. At the limit of connections, the oldest one is closed, so that
//! the kubelet's probe, which takes milliseconds, is always served.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{config::STRUCTURE, paths::Paths, probe, process::Processes};

/// Timeout of the exchange with NGINX: less than the 2 s that the kubelet waits.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest duration of a client's connection.
const LONGEST: Duration = Duration::from_secs(3);
/// Most concurrent clients.
const CLIENTS_MAX: usize = 64;
/// Most bytes of a request's head; the kubelet's has about 150.
const HEAD_MAX: u64 = 1 << 10;
/// Pause after a failed accept.
const UNACCEPTED: Duration = Duration::from_millis(100);

/// Serves the health checks of the NGINX of `paths`.
pub(super) async fn serve(listener: TcpListener, paths: &Paths) -> Infallible {
    let mut clients: VecDeque<AbortHandle> = VecDeque::with_capacity(CLIENTS_MAX);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(UNACCEPTED).await;
            continue;
        };
        clients.retain(|client| !client.is_finished());
        if clients.len() >= CLIENTS_MAX
            && let Some(oldest) = clients.pop_front()
        {
            oldest.abort();
        }
        let paths = paths.clone();
        let answered = async move { drop(timeout(LONGEST, answer(stream, &paths)).await) };
        clients.push_back(tokio::spawn(answered).abort_handle());
    }
}

async fn answer(mut stream: TcpStream, paths: &Paths) -> io::Result<()> {
    let status = match path(&mut stream).await?.as_deref() {
        Some("/healthz") if is_alive(paths).await => "200 OK",
        Some("/healthz") => "503 Service Unavailable",
        Some(_) => "404 Not Found",
        None => "400 Bad Request",
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The path of a `GET` request, after reading its whole head.
async fn path(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut reader = stream.take(HEAD_MAX);
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if reader.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).map(str::to_owned))
}

async fn is_alive(paths: &Paths) -> bool {
    let exchange = || async { probe::exchange(paths.own, STRUCTURE).await.ok() };
    let alive = async {
        if !exchange().await?.is_empty() {
            return Some(true);
        }
        let before = Processes::here(&paths.pid)?;
        let answer = exchange().await?;
        Some(!answer.is_empty() || Processes::here(&paths.pid)?.are_those_of(&before))
    };
    timeout(PATIENCE, alive).await.ok().flatten() == Some(true)
}
