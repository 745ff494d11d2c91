//! `/healthz` of an NGINX, answered by its supervisor.
//!
//! NGINX has one pool of connections for all its ports (`worker_connections`), and `limit_conn` counts only requests whose head
//! was read. Clients that send half a head or half a TLS handshake may therefore take the whole pool. A `/healthz` of NGINX's own
//! would then fail, and the kubelet would take all balancers of the service out of it at the same time.
//!
//! No limit of NGINX prevents this: every worker takes connections of every port, `backlog` counts connections that are not yet
//! accepted, and after a shorter `client_header_timeout` a client connects anew. The supervisor is the first process of the same
//! container. It needs no connection of the pool for its clients, and it ends with NGINX.
//!
//! NGINX is alive if it answers, and also if it closes a connection without an answer, which a worker without a free
//! connection does at once. It is not alive if nobody listens, or if nobody answers in time.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{config::STRUCTURE, probe};

/// The longest exchange with NGINX: less than the two seconds that the kubelet waits.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The longest connection of a client.
const LONGEST: Duration = Duration::from_secs(3);
/// The most clients at a time.
const CLIENTS_MAX: usize = 64;
/// The longest head of a request in bytes.
const HEAD_MAX: u64 = 8 << 10;
/// Pause after a connection that could not be accepted.
const UNACCEPTED: Duration = Duration::from_millis(100);

/// Answers for the NGINX that tells at `own` what it serves.
pub(super) async fn serve(listener: TcpListener, own: SocketAddr) -> Infallible {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(UNACCEPTED).await;
            continue;
        };
        // Without a place the connection is closed.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        tokio::spawn(async move {
            let _gone = timeout(LONGEST, answer(stream, own)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, own: SocketAddr) -> io::Result<()> {
    let status = match path(&mut stream).await?.as_deref() {
        Some("/healthz") if is_alive(own).await => "200 OK",
        Some("/healthz") => "503 Service Unavailable",
        Some(_) => "404 Not Found",
        None => "400 Bad Request",
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The path of a `GET` request, whose head is read to its end.
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

async fn is_alive(own: SocketAddr) -> bool {
    matches!(timeout(PATIENCE, probe::exchange(own, STRUCTURE)).await, Ok(Ok(_)))
}
