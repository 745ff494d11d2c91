//! Upgrade requests, and a replica that accepts every upgrade.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Upgrades a connection to any requested protocol and echoes its data; answers 200 to other requests.
pub async fn upgrades_to_anything(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Some(head) = head(&mut stream).await else { return };
            let Some(to) = protocol(&head) else {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
                let _cut_is_fine = stream.write_all(answer.as_bytes()).await;
                return;
            };
            switch(&mut stream, to).await;
            let (mut reader, mut writer) = stream.split();
            let _cut_is_fine = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

/// Upgrades a connection to any requested protocol and is silent then; does not answer other requests.
pub async fn stalls(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Some(head) = head(&mut stream).await else { return };
            if let Some(to) = protocol(&head) {
                switch(&mut stream, to).await;
            }
            let _until_the_end = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        });
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&head).to_lowercase())
}

fn protocol(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("upgrade: "))
}

async fn switch(stream: &mut TcpStream, to: &str) {
    // For the key of RFC 6455, 1.3.
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {to}\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Checks that a balancer in front of a replica that [`stalls`] ends requests that look like an upgrade after `limit`, and
/// allows a silent WebSocket for longer.
pub async fn assert_only_websockets_outlive(front: SocketAddr, limit: Duration) {
    for head in &NO_WEBSOCKETS[..2] {
        let begin = Instant::now();
        let (_stream, got) = answer(front, head).await;
        assert!(got.starts_with("http/1.1 504"), "{head}\n{got}");
        assert!(begin.elapsed() > limit / 2, "{:?}", begin.elapsed());
    }
    let (mut stream, got) = answer(front, WEBSOCKET).await;
    assert!(got.starts_with("http/1.1 101"), "{got}");
    let ended = timeout(2 * limit, stream.read(&mut [0])).await;
    assert!(ended.is_err(), "a WebSocket may be silent: {ended:?}");
}

/// The first part of the answer to `head`.
pub async fn answer(front: SocketAddr, head: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(front).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
    (stream, String::from_utf8_lossy(&answer[..read]).to_lowercase())
}

/// Requests that look like an upgrade, or almost like a WebSocket: they may be served, but must not open a tunnel.
pub const NO_WEBSOCKETS: [&str; 7] = [
    "GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: tls/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: short\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket, h2c\r\n\
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\nupgrade: websocket\r\n\
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 0\r\n\
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
];
/// A request of RFC 6455.
pub const WEBSOCKET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// A CONNECT request for a proxy (RFC 9110, 9.3.6).
pub const CONNECT: &str = "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n";
