//! Clients that send requests with their session cookie and record which pod answered.

use crate::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, spawn},
};

const PAUSE: Duration = Duration::from_millis(150);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Visit {
    pub at: SystemTime,
    pub pod: Result<String, String>,
}

pub type Client = Vec<Visit>;

pub struct StickyClients {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Client>>,
}

impl StickyClients {
    /// Starts clients of `url`; half of them open a connection for each request. Without `cookies` they drop their cookie.
    pub fn start(url: &str, clients: usize, cookies: bool) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let start = |number: usize| {
            let (url, over) = (url.to_owned(), Arc::clone(&over));
            spawn(move || visit(&url, cookies, number.is_multiple_of(2), &over))
        };
        Self { clients: (0..clients).map(start).collect(), over }
    }

    pub fn finish(mut self) -> Result<Vec<Client>> {
        self.over.store(true, Ordering::Release);
        let clients = std::mem::take(&mut self.clients);
        clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))).collect()
    }
}

impl Drop for StickyClients {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

fn visit(url: &str, cookies: bool, fresh: bool, over: &AtomicBool) -> Client {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let mut cookie: Option<String> = None;
    let mut visits = Vec::new();
    while !over.load(Ordering::Acquire) {
        let at = SystemTime::now();
        let mut request = agent.get(url);
        if let Some(cookie) = cookie.as_ref().filter(|_| cookies) {
            request = request.header("cookie", cookie);
        }
        if fresh {
            request = request.header("connection", "close");
        }
        let pod = match request.call() {
            Ok(mut answer) => {
                let header = |name| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
                let (pod, given) = (header("x-shop-pod"), header("set-cookie"));
                if let Some(given) = given {
                    cookie = given.split(';').next().map(str::to_owned);
                }
                // Only after the whole body the connection can be reused.
                let read = answer.body_mut().read_to_string().map_err(|error| error.to_string());
                read.and_then(|_| pod.ok_or_else(|| "the answer has no x-shop-pod".to_owned()))
            }
            Err(error) => Err(error.to_string()),
        };
        visits.push(Visit { at, pod });
        sleep(PAUSE);
    }
    visits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    /// Answers with the request's cookie, or sets one; each tenth connection is closed without an answer.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let mut socket = socket.unwrap();
                let mut bytes = [0; 2_048];
                let read = socket.read(&mut bytes).unwrap();
                let text = String::from_utf8_lossy(&bytes[..read]).to_lowercase();
                if number % 10 == 9 {
                    continue;
                }
                let (pod, given) = match text.split_once("cookie: s=") {
                    Some((_, rest)) => (rest.split_whitespace().next().unwrap().to_owned(), String::new()),
                    None => (number.to_string(), format!("set-cookie: s={number}; path=/\r\n")),
                };
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n";
                write!(socket, "{head}x-shop-pod: {pod}\r\n{given}\r\n").unwrap();
            }
        });
        url
    }

    #[test]
    fn clients_return_their_cookie_and_record_lost_requests() {
        let clients = StickyClients::start(&server(), 2, true);
        sleep(Duration::from_millis(1_500));
        let clients = clients.finish().unwrap();
        for client in &clients {
            let pods: Vec<_> = client.iter().filter_map(|visit| visit.pod.as_ref().ok()).collect();
            assert!(pods.len() > 3 && pods.windows(2).all(|pair| pair[0] == pair[1]), "{client:?}");
        }
        assert!(clients.iter().flatten().any(|visit| visit.pod.is_err()), "{clients:?}");
    }

    #[test]
    fn clients_without_a_cookie_are_not_sticky() {
        let clients = StickyClients::start(&server(), 1, false);
        sleep(Duration::from_millis(800));
        let clients = clients.finish().unwrap();
        let pods: Vec<_> = clients[0].iter().filter_map(|visit| visit.pod.as_ref().ok()).collect();
        assert!(pods.windows(2).all(|pair| pair[0] != pair[1]), "{clients:?}");
    }
}
