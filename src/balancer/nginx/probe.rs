//! Reads NGINX's state, each time on a new connection, so that it is that of new clients.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::balancer::DriverError;

/// Timeout of an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const LONGEST: u64 = 16 << 10;

/// NGINX's counters (`stub_status`), over all workers since the start of the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Open connections, including those of the agent and the supervisor.
    pub active: u64,
    /// Accepted connections in total.
    pub accepted: u64,
    /// Requests in total.
    pub requests: u64,
    /// Current requests, including the one for the counters.
    pub working: u64,
    /// Workers of earlier configurations that still finish their requests.
    pub leaving: u64,
}

impl Counters {
    /// Parses `Active connections: 2`, `server accepts handled requests`, ` 5 5 9`, `Reading: 0 Writing: 1 Waiting: 1`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let active = lines.next()?.split(':').nth(1)?.trim().parse().ok()?;
        let numbers: Vec<u64> =
            lines.nth(1)?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let working = lines.next()?.split_whitespace().nth(3)?.parse().ok()?;
        Some(Self { active, accepted: *numbers.first()?, requests: *numbers.get(2)?, working, leaving: 0 })
    }
}

/// Number of clients that a configuration allows: each uses a second connection, to its replica. 0 if unknown.
pub(super) fn clients_of(config: &str) -> u64 {
    let workers = number(config, "worker_processes ");
    workers.saturating_mul(number(config, "worker_connections ")) / 2
}

/// Number of concurrent requests that a configuration allows. 0 if unknown.
pub(super) fn requests_of(config: &str) -> u64 {
    number(config, "limit_conn requests ")
}

/// The number after `name`.
fn number(config: &str, name: &str) -> u64 {
    let value = config.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_suffix(';'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

/// The body of the answer to a request for `path`; `None` if NGINX has no free connection for it.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<Option<String>, DriverError> {
    let answer = match timeout(PATIENCE, exchange(address, path)).await {
        Ok(answer) => answer.map_err(|error| down(&error.to_string()))?,
        Err(_) => return Err(down("no answer within 2 s")),
    };
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(Some(body.trim_end().to_owned())),
        None if answer.is_empty() => Ok(None),
        _ => Err(down(&format!("{address} is served by another program"))),
    }
}

/// The whole answer. It is empty if the connection was closed without one, as by a worker that has no free connection.
///
/// # Errors
/// `address` refuses the connection.
pub(super) async fn exchange(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: plimsoll\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let exchanged = async {
        stream.write_all(request.as_bytes()).await?;
        stream.take(LONGEST).read_to_string(&mut answer).await
    };
    let exchanged = exchanged.await;
    match exchanged {
        Err(error) if !is_closed(error.kind()) => Err(error),
        _ => Ok(answer),
    }
}

/// Whether the peer closed the connection, possibly before reading everything.
fn is_closed(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn down(cause: &str) -> DriverError {
    DriverError::Down(cause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_parsed_from_stub_status() {
        let text = "Active connections: 3 \nserver accepts handled requests\n 15 15 39 \nReading: 0 Writing: 1 Waiting: 2 \n";
        assert_eq!(
            Counters::read(text),
            Some(Counters { active: 3, accepted: 15, requests: 39, working: 1, leaving: 0 })
        );
        assert_eq!(Counters::read("something else"), None);
    }

    #[test]
    fn the_capacity_for_clients_is_read_from_the_configuration() {
        let config =
            "worker_processes 2;\nevents {\n    worker_connections 8192;\n}\nlimit_conn requests 3356;\n";
        assert_eq!((clients_of(config), requests_of(config)), (8192, 3356));
        assert_eq!((clients_of("worker_processes auto;"), requests_of("")), (0, 0));
    }
}
