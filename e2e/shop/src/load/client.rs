//! HTTP exchanges on connections with a fixed number of requests: no retries, no hidden queue.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;

use super::failure::{failure_of, failure_of_io};
use super::report::Failure;
use super::tls::Tls;

/// An idle connection is closed after this time, which is shorter than most servers' own limit.
const IDLE: Duration = Duration::from_secs(45);
/// How long resolved addresses are used.
const ADDRESSES: Duration = Duration::from_secs(1);

/// A target of requests, with its idle connections.
pub struct Target {
    name: String,
    port: u16,
    request: Request<()>,
    /// Requests that one connection carries.
    per_connection: u32,
    idle: Mutex<Vec<Connection>>,
    addresses: Mutex<Option<Addresses>>,
    tls: Option<Tls>,
    opened: AtomicU64,
}

struct Addresses {
    found: Vec<SocketAddr>,
    at: Instant,
    turn: usize,
}

/// A connection that can carry more requests.
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    left: u32,
    used: Instant,
}

impl Target {
    pub fn new(
        url: &Uri,
        method: Method,
        headers: &[(HeaderName, HeaderValue)],
        per_connection: u32,
        tls: Option<Tls>,
    ) -> anyhow::Result<Self> {
        let secure = url.scheme_str() == Some("https");
        ensure!(!secure || tls.is_some(), "{url} needs --ca");
        let authority = url.authority().with_context(|| format!("{url} has no host"))?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let mut all = HeaderMap::new();
        all.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        for (name, value) in headers {
            all.insert(name, value.clone());
        }
        let mut request = Request::builder().method(method).uri(path).body(())?;
        *request.headers_mut() = all;
        Ok(Self {
            name: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            request,
            per_connection,
            idle: Mutex::new(Vec::new()),
            addresses: Mutex::new(None),
            tls: tls.filter(|_| secure),
            opened: AtomicU64::new(0),
        })
    }

    /// One request and its whole answer. If the connection can carry more, the caller returns it
    /// with [`Self::keep`] when the request is accounted for.
    pub async fn exchange(&self) -> Result<(u16, Option<Connection>), Failure> {
        let mut connection = match self.idle_connection() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.left -= 1;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.headers_mut() = self.request.headers().clone();
        if connection.left == 0 {
            // The server closes first, so that no local port stays in TIME_WAIT.
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let response = connection.sender.send_request(request).await.map_err(|error| failure_of(&error))?;
        let code = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| failure_of(&error))?;
        }
        Ok((code, (connection.left > 0).then_some(connection)))
    }

    /// Keeps a connection for another request, unless the server closes it.
    pub async fn keep(&self, mut connection: Connection) {
        if connection.sender.ready().await.is_ok() {
            connection.used = Instant::now();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    /// Number of connections opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Closes connections that were not used for a while.
    pub fn close_idle(&self) {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.sender.is_closed() && now < connection.used + IDLE);
    }

    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let address = self.address().await.ok_or(Failure::Dns)?;
        let stream = TcpStream::connect(address).await.map_err(|error| failure_of_io(&error))?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true).map_err(|error| failure_of_io(&error))?;
        let sender = match &self.tls {
            Some(tls) => speak(tls.handshake(&self.name, stream).await?).await?,
            None => speak(stream).await?,
        };
        Ok(Connection { sender, left: self.per_connection, used: Instant::now() })
    }

    async fn address(&self) -> Option<SocketAddr> {
        if let Ok(address) = self.name.parse() {
            return Some(SocketAddr::new(address, self.port));
        }
        if let Some(known) = self.known_address() {
            return Some(known);
        }
        let found: Vec<_> = lookup_host((self.name.as_str(), self.port)).await.ok()?.collect();
        let address = found.first().copied()?;
        let addresses = Addresses { found, at: Instant::now(), turn: 0 };
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
        Some(address)
    }

    fn known_address(&self) -> Option<SocketAddr> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = addresses.as_mut().filter(|known| known.at.elapsed() < ADDRESSES)?;
        known.turn = (known.turn + 1) % known.found.len().max(1);
        known.found.get(known.turn).copied()
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Empty<Bytes>>, Failure> {
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failure_of(&error))?;
    // An error of the connection is reported by its request.
    tokio::spawn(connection);
    Ok(sender)
}
