//! HTTP to one Prometheus: the client with its connection pool, credentials and CAs; requests with answers of limited size.
//! The caller handles deadlines, slots and the breaker.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use prometheus_http_query::Client;
use reqwest::{Certificate, Response, redirect};

use super::answer::{Answer, BYTES_MAX};
use super::credentials::WatchedFile;
use super::failure::Failure;
use super::source::SourceConfig;
use super::transport::{Request, Transport};

/// Idle time after which we close a connection. Proxies close theirs after a minute, and a query sent at that moment would
/// fail.
const IDLE: Duration = Duration::from_secs(30);

/// The HTTP transport to one source.
pub(super) struct Connection {
    url: String,
    headers: HeaderMap,
    auth: Auth,
    authorities: Option<WatchedFile>,
    timeout: Duration,
    idle_max: usize,
    /// The client, with the CAs that it trusts.
    client: Mutex<Option<(String, Client)>>,
}

enum Auth {
    None,
    Bearer(WatchedFile),
    Basic(String, WatchedFile),
}

/// Opens HTTP to the source of `config`. Its files are read once, so that mistakes are found at startup.
///
/// # Errors
/// A sentence for each unusable file.
pub fn connect(config: &SourceConfig) -> Result<Arc<dyn Transport>, Vec<String>> {
    Ok(Arc::new(Connection::open(config)?))
}

impl Connection {
    /// Opens the transport of a validated configuration, and reads its files once. The error has a sentence for each
    /// unusable file.
    pub(super) fn open(config: &SourceConfig) -> Result<Self, Vec<String>> {
        let auth = match (&config.bearer_token_file, &config.basic_auth) {
            (Some(path), _) => Auth::Bearer(WatchedFile::new("bearerTokenFile", path)),
            (None, Some(basic)) => {
                let password = WatchedFile::new("basicAuth.passwordFile", &basic.password_file);
                Auth::Basic(basic.username.clone(), password)
            }
            (None, None) => Auth::None,
        };
        let connection = Self {
            // The client adds its own slash.
            url: config.url.trim_end_matches('/').to_owned(),
            headers: config.header_map()?,
            auth,
            authorities: config.ca_file.as_ref().map(|path| WatchedFile::new("caFile", path)),
            timeout: config.timeout.into(),
            idle_max: config.max_concurrency,
            client: Mutex::new(None),
        };
        let wrong = [connection.auth.header().err(), connection.client().err()];
        let wrong: Vec<String> =
            wrong.into_iter().flatten().map(|error| format!("source {:?}: {error}", config.name)).collect();
        if wrong.is_empty() { Ok(connection) } else { Err(wrong) }
    }

    /// Sends a query and reads the answer. The failure contains none of our secrets.
    async fn post(&self, request: Request<'_>, limit: Duration) -> Result<Answer, Failure> {
        let client = self.client().map_err(Failure::Credentials)?;
        let auth = self.auth.header().map_err(Failure::Credentials)?;
        let mut response = match self.send(&client, request, limit, auth.as_ref()).await {
            // The server closed an idle connection just as it was used. Sending a query twice is safe.
            Err(Unsent { closed: true, .. }) => self.send(&client, request, limit, auth.as_ref()).await,
            sent => sent,
        }
        .map_err(|unsent| unsent.failure)?;
        let status = response.status().as_u16();
        let body = bounded(&mut response).await?;
        Answer::read(status, &body).or_else(|failure| match auth {
            Some(auth) if auth.is_in(&body) => Answer::read(status, auth.redacted(&body).as_bytes()),
            _ => Err(failure),
        })
    }

    async fn send(
        &self,
        client: &Client,
        request: Request<'_>,
        limit: Duration,
        auth: Option<&Header>,
    ) -> Result<Response, Unsent> {
        let timeout = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).max(1);
        // POST, since a query can exceed the length limit of a URL.
        let sent = match request {
            Request::Instant(query) => {
                let mut builder = client.query(query).timeout(timeout);
                if let Some(auth) = auth {
                    builder = builder.header(http::header::AUTHORIZATION, auth.value.clone());
                }
                builder.post_raw().await
            }
            Request::Range { query, start, end, step } => {
                let mut builder = client.query_range(query, start, end, step).timeout(timeout);
                if let Some(auth) = auth {
                    builder = builder.header(http::header::AUTHORIZATION, auth.value.clone());
                }
                builder.post_raw().await
            }
        };
        sent.map_err(|error| {
            let cause = error.source().and_then(|source| source.downcast_ref::<reqwest::Error>());
            let closed =
                cause.is_some_and(|error| error.is_request() && !error.is_connect() && !error.is_timeout());
            let failure = match cause {
                Some(cause) if cause.is_timeout() => Failure::TimedOut(self.timeout.as_secs_f64()),
                _ => Failure::Unreachable(root_cause(&error)),
            };
            Unsent { failure, closed }
        })
    }

    /// The client; a new one if the CAs have changed.
    fn client(&self) -> Result<Client, String> {
        let authorities = self.authorities.as_ref().map(WatchedFile::read).transpose()?.unwrap_or_default();
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((trusted, client)) = client.as_ref()
            && *trusted == authorities
        {
            return Ok(client.clone());
        }
        let built = self.build(&authorities)?;
        *client = Some((authorities, built.clone()));
        Ok(built)
    }

    fn build(&self, authorities: &str) -> Result<Client, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .default_headers(self.headers.clone())
            .connect_timeout(self.timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.idle_max)
            // A redirect would turn POST into GET and send the credentials elsewhere.
            .redirect(redirect::Policy::none());
        if self.authorities.is_some() {
            let bundle = Certificate::from_pem_bundle(authorities.as_bytes())
                .map_err(|error| format!("caFile has no usable PEM certificate: {}", root_cause(&error)))?;
            if bundle.is_empty() {
                return Err("caFile contains no PEM certificate".into());
            }
            builder = builder.tls_certs_only(bundle);
        } else if !self.url.starts_with("https:") {
            // The system's CAs may be missing in a small image, and are not needed here.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|error| format!("can't create an HTTP client: {}", root_cause(&error)))?;
        Client::from(client, &self.url).map_err(|error| format!("url can't be used: {}", root_cause(&error)))
    }
}

impl Transport for Connection {
    fn ask<'a>(&'a self, request: Request<'a>, limit: Duration) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.post(request, limit).boxed()
    }
}

struct Unsent {
    failure: Failure,
    closed: bool,
}

/// The value of `Authorization`, and the secrets in it.
struct Header {
    value: HeaderValue,
    secrets: Vec<String>,
}

impl Header {
    fn is_in(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        self.secrets.iter().any(|secret| text.contains(secret))
    }

    fn redacted(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body).into_owned();
        self.secrets.iter().fold(text, |text, secret| text.replace(secret, "***"))
    }
}

impl Auth {
    fn header(&self) -> Result<Option<Header>, String> {
        let (text, secrets) = match self {
            Self::None => return Ok(None),
            Self::Bearer(file) => {
                let token = file.read()?;
                (format!("Bearer {token}"), vec![token])
            }
            Self::Basic(username, file) => {
                let password = file.read()?;
                let pair = STANDARD.encode(format!("{username}:{password}"));
                (format!("Basic {pair}"), vec![pair, password])
            }
        };
        let mut value: HeaderValue =
            text.parse().map_err(|_| "the token has characters not allowed in an HTTP header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(Header { value, secrets }))
    }
}

async fn bounded(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Failure::Unreachable(root_cause(&error)))?
    {
        if body.len() + chunk.len() > BYTES_MAX {
            return Err(Failure::TooLarge("8 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost error, which is the most specific, such as "connection refused".
fn root_cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    super::failure::one_line(&innermost.to_string())
}
