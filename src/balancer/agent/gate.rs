//! The gate: HAProxy sends it one request when no replica can take it. The gate holds that connection until a replica
//! is ready, then forwards it byte by byte; all other requests wait in HAProxy's own queue.
//!
//! That one request wakes a service at zero replicas. HTTP is not parsed.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    authorities::{Connection, Mounted},
    carried::{self, Carried},
};
use plimsoll_api::StandbyTls;

/// Most connections held at a time. Each HAProxy process sends one, also those from before a reload.
const HELD_MAX: usize = 64;
/// Bytes of a request that are read before a replica is ready; the rest waits in the socket.
const READ_AHEAD: usize = 16 << 10;
/// Timeout of an attempt to connect to a replica.
const CONNECT: Duration = Duration::from_secs(1);
/// Pause after all replicas refused.
const PAUSE: Duration = Duration::from_millis(20);
/// The response to a client whose time is over.
const LATE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The replicas in rotation, or the standbys that get all requests; and how long a request may wait for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Their addresses, with the TLS settings of standbys.
    pub addresses: Vec<(SocketAddr, Option<StandbyTls>)>,
    /// `limits.queueTimeout`.
    pub patience: Duration,
}

/// A gate that listens.
#[derive(Debug)]
pub struct Gate {
    listener: TcpListener,
    replicas: watch::Receiver<Replicas>,
    authorities: Mounted,
    held: watch::Sender<u32>,
    carried: Carried,
}

impl Gate {
    /// Listens on `address`, which should be a loopback address: a client that can connect to it reaches the replicas.
    ///
    /// `held` is the number of waiting connections, updated immediately.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn bind(
        address: SocketAddr,
        replicas: watch::Receiver<Replicas>,
        authorities: Mounted,
        held: watch::Sender<u32>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, replicas, authorities, held, carried: Carried::default() })
    }

    /// The connections that it carries.
    #[must_use]
    pub fn carried(&self) -> Carried {
        self.carried.clone()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system refuses to report it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(HELD_MAX));
        loop {
            let (stream, _) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, for example: it is temporary, or everything else reports it.
                    tracing::warn!(%error, "the gate can't accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // A connection above the limit is closed immediately: HAProxy tries again or answers 503.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (replicas, held) = (self.replicas.clone(), self.held.clone());
            let (authorities, carried) = (self.authorities.clone(), self.carried.clone());
            tokio::spawn(async move {
                if let Err(error) = serve(stream, replicas, &authorities, held, &carried).await {
                    tracing::debug!(%error, "a connection at the gate failed");
                }
                drop(place);
            });
        }
    }
}

/// Counts as held while it lives.
struct Held(watch::Sender<u32>);

impl Held {
    fn new(held: watch::Sender<u32>) -> Self {
        held.send_modify(|held| *held += 1);
        Self(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held = held.saturating_sub(1));
    }
}

async fn serve(
    mut client: TcpStream,
    mut replicas: watch::Receiver<Replicas>,
    authorities: &Mounted,
    held: watch::Sender<u32>,
    carried: &Carried,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let waiting = Held::new(held);
    let deadline = Instant::now() + replicas.borrow().patience;
    let mut request = Vec::with_capacity(READ_AHEAD);
    let replica = tokio::select! {
        replica = reach(&mut replicas, authorities, carried) => Some(replica),
        () = gone(&mut client, &mut request) => None,
        () = sleep_until(deadline) => {
            client.write_all(LATE).await?;
            None
        }
    };
    drop(waiting);
    let Some((mut replica, _counted)) = replica else { return client.shutdown().await };
    replica.write_all(&request).await?;
    replica.flush().await?;
    copy_bidirectional(&mut client, &mut replica).await?;
    Ok(())
}

/// Connects to the first replica that accepts. Counts the connection before it is made: a drain must not complete in
/// between.
async fn reach(
    replicas: &mut watch::Receiver<Replicas>,
    authorities: &Mounted,
    carried: &Carried,
) -> (Box<dyn Connection>, carried::Connection) {
    loop {
        let addresses = replicas.borrow_and_update().addresses.clone();
        for (address, tls) in &addresses {
            let counted = carried.begin(address.ip());
            if let Ok(Ok(stream)) = timeout(CONNECT, authorities.connect(*address, tls.as_ref())).await {
                return (stream, counted);
            }
        }
        if addresses.is_empty() {
            // Without a sender no replica will ever come; the deadline ends the wait.
            if replicas.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Reads ahead, and returns when the client has disconnected. This is not detected once the read-ahead is full.
async fn gone(client: &mut TcpStream, request: &mut Vec<u8>) {
    while request.len() < READ_AHEAD {
        let room = READ_AHEAD - request.len();
        match (&mut *client).take(room as u64).read_buf(request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    async fn gate(patience: Duration) -> (SocketAddr, watch::Sender<Replicas>, watch::Receiver<u32>) {
        let (replicas, seen) = watch::channel(Replicas { addresses: Vec::new(), patience });
        let (held, count) = watch::channel(0);
        let gate = Gate::bind((Ipv4Addr::LOCALHOST, 0).into(), seen, Mounted::at("/nowhere".into()), held)
            .await
            .unwrap();
        let address = gate.address().unwrap();
        tokio::spawn(gate.run());
        (address, replicas, count)
    }

    /// A replica that echoes `length` bytes once it has received them.
    async fn echo(length: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
        address
    }

    async fn counts(count: &mut watch::Receiver<u32>, wanted: u32) {
        let reached = count.wait_for(|held| *held == wanted);
        let _count =
            timeout(Duration::from_secs(5), reached).await.expect("the count of held requests").unwrap();
    }

    #[tokio::test]
    async fn a_request_longer_than_the_read_ahead_reaches_the_first_replica_complete() {
        let (address, replicas, mut count) = gate(Duration::from_secs(30)).await;
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let writing = tokio::spawn({
            let sent = sent.clone();
            async move {
                writer.write_all(&sent).await.unwrap();
                writer
            }
        });
        counts(&mut count, 1).await;
        let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let addresses = vec![(dead, None), (echo(sent.len()).await, None)];
        replicas.send_modify(|replicas| replicas.addresses = addresses);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert!(received == sent, "{} bytes came back", received.len());
        counts(&mut count, 0).await;
        drop(writing.await.unwrap());
    }

    #[tokio::test]
    async fn a_client_that_waits_too_long_gets_a_503_and_one_that_disconnects_is_not_counted() {
        let (address, _replicas, mut count) = gate(Duration::from_millis(300)).await;
        let mut patient = TcpStream::connect(address).await.unwrap();
        patient.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let leaving = TcpStream::connect(address).await.unwrap();
        counts(&mut count, 2).await;
        drop(leaving);
        counts(&mut count, 1).await;
        let mut answer = String::new();
        patient.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        counts(&mut count, 0).await;
    }

    #[tokio::test]
    async fn connections_above_the_limit_are_closed() {
        let (address, _replicas, mut count) = gate(Duration::from_secs(30)).await;
        let mut held = Vec::new();
        for _ in 0..HELD_MAX {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        counts(&mut count, u32::try_from(HELD_MAX).unwrap()).await;
        let mut above = TcpStream::connect(address).await.unwrap();
        assert_eq!(above.read(&mut [0]).await.unwrap_or(0), 0, "closed");
        drop(held);
        counts(&mut count, 0).await;
    }
}
