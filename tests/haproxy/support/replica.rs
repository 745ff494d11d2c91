//! A replica that answers every request with its name after a delay, and can die like a process.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use plimsoll::balancer::{Server, ServerState, Standby};
use plimsoll_api::Percent;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub struct Replica {
    pub name: String,
    pub address: SocketAddr,
    /// Request heads in order of arrival.
    pub heads: Arc<Mutex<Vec<String>>>,
    /// Requests in progress.
    pub active: Arc<AtomicUsize>,
    /// Maximum of concurrent requests so far.
    pub most: Arc<AtomicUsize>,
    /// Whether it answers every request with 500.
    pub faulty: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Replica {
    /// Starts a replica that takes `delay` for each request, or the time in its path (`/1500ms`). It answers `/503` with
    /// that status and `/hangup` not at all.
    pub async fn start(name: &str, delay: Duration) -> Self {
        Self::start_at(super::unused_address(), name, delay).await
    }

    /// Starts `checkout-0`, `checkout-1` and so on.
    pub async fn several(count: usize, delay: Duration) -> Vec<Self> {
        let mut replicas = Vec::new();
        for number in 0..count {
            replicas.push(Self::start(&format!("checkout-{number}"), delay).await);
        }
        replicas
    }

    /// The same at a given address.
    pub async fn start_at(address: SocketAddr, name: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, active) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let most = Arc::new(AtomicUsize::new(0));
        let (name, seen, working) = (name.to_owned(), Arc::clone(&heads), Arc::clone(&active));
        let (own, peak) = (name.clone(), Arc::clone(&most));
        let faulty = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&faulty);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let counts = [&working, &peak].map(Arc::clone);
                let fails = Arc::clone(&fails);
                connections.spawn(serve(stream, own.clone(), delay, (Arc::clone(&seen), fails), counts));
            }
        });
        Self { name, address, heads, active, most, faulty, task }
    }

    pub fn server(&self, state: ServerState) -> (String, Server) {
        (self.name.clone(), Server { address: self.address, state })
    }

    /// The replica as a standby.
    pub fn standby(&self, weight: u8) -> Standby {
        let weight = Percent::clamped(weight.into());
        Standby { name: self.name.clone(), addresses: vec![self.address], weight, replicas: 1, tls: None }
    }

    pub fn served(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    pub fn working(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Cuts every connection immediately, as a crash does.
    pub fn die(&self) {
        self.task.abort();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.die();
    }
}

async fn serve(
    mut stream: TcpStream,
    name: String,
    delay: Duration,
    (heads, faulty): (Arc<Mutex<Vec<String>>>, Arc<AtomicBool>),
    [active, most]: [Arc<AtomicUsize>; 2],
) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    loop {
        while !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
        let head = String::from_utf8_lossy(&buffer).into_owned();
        buffer.clear();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let status = match path {
            "/hangup" => None,
            "/503" => Some("503 Service Unavailable"),
            _ if faulty.load(Ordering::SeqCst) => Some("500 Internal Server Error"),
            _ => Some("200 OK"),
        };
        let own = path.strip_prefix('/').and_then(|path| path.strip_suffix("ms")?.parse().ok());
        heads.lock().unwrap().push(head);
        most.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(own.map_or(delay, Duration::from_millis)).await;
        active.fetch_sub(1, Ordering::SeqCst);
        let Some(status) = status else { return };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Waits until each replica has got a request; how long that takes depends on the load and the machine.
pub async fn all_served(replicas: &[Replica]) {
    super::eventually("each replica gets requests", || async {
        replicas.iter().all(|replica| replica.served() > 0).then_some(())
    })
    .await;
}
