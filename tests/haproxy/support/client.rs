//! Clients: one request at a time on a connection, no retries, every request accounted for.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A client with a kept connection.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// One request; `headers` are whole lines.
    pub async fn get(&mut self, path: &str, headers: &[&str]) -> std::io::Result<Answer> {
        self.request("GET", path, headers, "").await
    }

    /// One request with a body.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> std::io::Result<Answer> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                empty.insert(stream)
            }
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: shop.example\r\n");
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        headers.iter().for_each(|header| request += &format!("{header}\r\n"));
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await?;
        let answer = read_answer(stream).await;
        if answer.as_ref().is_ok_and(|answer| !answer.head.to_lowercase().contains("connection: close")) {
            return answer;
        }
        self.stream = None;
        answer
    }
}

async fn read_answer(stream: &mut TcpStream) -> std::io::Result<Answer> {
    let mut buffer = Vec::new();
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length:").map(|length| length.trim().parse::<usize>().unwrap())
            });
            let complete = length.is_some_and(|length| buffer.len() >= end + 4 + length);
            if complete {
                let status = head.split(' ').nth(1).unwrap_or_default().parse().unwrap();
                let body = String::from_utf8_lossy(&buffer[end + 4..]).into_owned();
                return Ok(Answer { status, head, body });
            }
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Counts of many requests by result.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub sent: usize,
    pub ok: usize,
    pub http_errors: usize,
    pub transport_errors: usize,
    pub latencies: Vec<Duration>,
}

impl Account {
    pub fn lost(&self) -> usize {
        assert_eq!(
            self.sent,
            self.ok + self.http_errors + self.transport_errors,
            "every request is accounted for"
        );
        self.http_errors + self.transport_errors
    }
}

/// Clients that send requests until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    account: Arc<Mutex<Account>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(address: SocketAddr, clients: usize, keep_alive: bool, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let account = Arc::new(Mutex::new(Account::default()));
        let client = |_| {
            let (stop, account) = (Arc::clone(&stop), Arc::clone(&account));
            tokio::spawn(async move {
                let mut client = Client::new(address);
                while !stop.load(Ordering::SeqCst) {
                    if !keep_alive {
                        client = Client::new(address);
                    }
                    // Tens of thousands of recently closed connections, including those to replicas, would make the
                    // kernel slow for a parallel test.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    account.lock().unwrap().sent += 1;
                    let begin = Instant::now();
                    let answer = client.get(path, &[]).await;
                    let mut account = account.lock().unwrap();
                    account.latencies.push(begin.elapsed());
                    match answer {
                        Ok(answer) if answer.status == 200 => account.ok += 1,
                        Ok(_) => account.http_errors += 1,
                        Err(_) => {
                            account.transport_errors += 1;
                            client = Client::new(address);
                        }
                    }
                }
            })
        };
        Self { clients: (0..clients).map(client).collect(), stop, account }
    }

    /// Stops the clients after their requests in flight.
    pub async fn finish(self) -> Account {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        self.account.lock().unwrap().clone()
    }
}
