//! Requests in flight at a SIGTERM, with the binary as a process.

// Clippy recognizes the test functions, but not their helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

struct Shop {
    child: Child,
    address: SocketAddr,
    // Kept open: otherwise the process would write to a closed pipe.
    _log: BufReader<ChildStderr>,
}

async fn start(flags: &[&str]) -> Shop {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll-shop"))
        .args(flags)
        .args(["--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    log.read_line(&mut line).await.expect("a line");
    let address = line.trim().strip_prefix("listening on ").expect("an address").parse().expect("an address");
    Shop { child, address, _log: log }
}

impl Shop {
    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().expect("running") as i32).expect("a pid");
        kill_process(pid, Signal::TERM).expect("a signal");
    }
}

/// Sends requests on one connection until the server closes it; returns their status codes.
async fn requests(address: SocketAddr, most: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut codes = Vec::new();
    while codes.len() < most {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await.expect("sent");
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.expect("an answer, not a reset");
        let text = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
        assert!(text.starts_with("http/1.1 "), "the connection was closed without an answer");
        codes.push(text[9..12].parse().expect("a code"));
        if text.contains("connection: close") {
            break;
        }
    }
    codes
}

#[tokio::test]
async fn sigterm_loses_no_request_and_ends_with_success() {
    let flags = ["serve", "--service-time", "20ms", "--workers", "8", "--drain-delay", "1s"];
    let mut shop = start(&flags).await;
    let address = shop.address;
    let clients: Vec<_> = (0..16).map(|_| tokio::spawn(requests(address, usize::MAX))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    shop.terminate();
    // New connections arrive until all clients have noticed that it is unready.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(requests(address, 5).await, [200]);
    for client in clients {
        let codes = client.await.expect("no request is lost");
        assert!(codes.len() > 3 && codes.iter().all(|code| *code == 200), "{codes:?}");
    }
    let end = tokio::time::timeout(Duration::from_secs(5), shop.child.wait()).await.expect("it ends");
    assert_eq!(end.expect("a status").code(), Some(0));
    assert!(TcpStream::connect(address).await.is_err(), "the listener must be closed");
}

#[tokio::test]
async fn a_request_longer_than_the_drain_delay_is_finished() {
    let flags = ["serve", "--service-time", "800ms", "--service-jitter", "0", "--drain-delay", "100ms"];
    let mut shop = start(&flags).await;
    let client = tokio::spawn(requests(shop.address, 1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    shop.terminate();
    assert_eq!(client.await.expect("answered"), [200]);
    let end = tokio::time::timeout(Duration::from_secs(5), shop.child.wait()).await.expect("it ends");
    assert_eq!(end.expect("a status").code(), Some(0));
}

#[tokio::test]
async fn a_queue_exits_immediately() {
    let mut queue = start(&["queue"]).await;
    queue.terminate();
    let end = tokio::time::timeout(Duration::from_secs(5), queue.child.wait()).await.expect("it ends");
    assert_eq!(end.expect("a status").code(), Some(0));
}
