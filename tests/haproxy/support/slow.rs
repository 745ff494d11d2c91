//! Clients that begin a request and never finish it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::wait;

/// A head without its end.
pub const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: shop.example\r\n";
/// The header of a TLS handshake record (RFC 8446, 5.1) without its content.
pub const HALF_HANDSHAKE: &[u8] = &[22, 3, 1, 0, 200];
/// A whole request.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
/// Nothing: a connection without a request.
pub const IDLE: &[u8] = b"";

/// Starts clients that each connect, send only `beginning` until they are dropped, and reconnect when they are closed.
/// Connections that a full balancer does not accept wait in the kernel. All end by a reset, so that none stays in TIME_WAIT:
/// one of their ports could be the listener port of another test.
pub fn connections(front: SocketAddr, count: usize, beginning: &'static [u8]) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(front).await
                    && stream.set_zero_linger().is_ok()
                    && stream.write_all(beginning).await.is_ok()
                {
                    let _until_it_is_closed = stream.read_to_end(&mut Vec::new()).await;
                }
                wait(200).await;
            }
        });
    }
    clients
}
