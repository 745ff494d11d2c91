//! The gate: where HAProxy sends one request when no replica can take it. The gate holds that connection until a
//! replica is there, then hands it on byte by byte; everything else waits meanwhile in HAProxy's own queue.
//!
//! That one request is the wake-up call of a service at zero replicas. Nothing of HTTP is looked at.

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

/// Connections that are held at a time. One HAProxy process sends one; those before a reload may each have one too.
const HELD_MAX: usize = 64;
/// Bytes of a request that are read before a replica is there; the rest waits in the socket.
const READ_AHEAD: usize = 16 << 10;
/// The longest attempt to connect to a replica.
const CONNECT: Duration = Duration::from_secs(1);
/// Pause after all replicas refused.
const PAUSE: Duration = Duration::from_millis(20);
/// What a client gets whose time is over.
const LATE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The replicas that HAProxy serves, or the standbys that get all requests; and how long a request may wait for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Where they listen, and how those are reached that are standbys over TLS.
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
    /// Listens on `address`, which should be of the loopback: who reaches it reaches the replicas.
    ///
    /// `held` is how many connections wait, told at once.
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
    /// The system does not say.
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
                    // Out of descriptors, for example: it passes, or everything else says so.
                    tracing::warn!(%error, "the gate can't accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // One above the limit is closed at once: HAProxy tries again or answers 503.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (replicas, held) = (self.replicas.clone(), self.held.clone());
            let (authorities, carried) = (self.authorities.clone(), self.carried.clone());
            tokio::spawn(async move {
                if let Err(error) = serve(stream, replicas, &authorities, held, &carried).await {
                    tracing::debug!(%error, "a connection at the gate ended");
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

/// Connects to a replica as soon as there is one that takes it, and counts the connection before it is made: a drain must
/// not end in between.
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
            // Without a sender nothing will ever come; the deadline ends the wait.
            if replicas.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Reads ahead, and returns when the client went away. One that sent more than is read ahead is not noticed to go.
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

    /// A replica that answers with what it was sent, once it was sent `length` bytes.
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
    async fn a_request_longer_than_what_is_read_ahead_reaches_the_first_replica_whole() {
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
    async fn whoever_waits_too_long_gets_a_503_and_whoever_leaves_is_not_counted() {
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
    async fn no_more_are_held_than_there_are_places() {
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
