//! Probes a Gateway with requests, each on a new connection.
//!
//! This proves that the Gateway serves the rule at all (not 404), and that no share of the requests goes to an unavailable
//! backend (not 5xx). `n` requests miss a share of `s` with a probability of `(1 - s)^n`. It can't prove which backend
//! answered; for that, only the Gateway's status is available.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{StatusCode, header};
use reqwest::{Client, Url, redirect};
use tokio::time::timeout;

use super::Question;
use crate::names;

/// Timeout of one request, including its connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the reported status of a Gateway is doubted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It can't be reached from here, which does not mean that clients can't reach it.
    Unreachable(String),
    /// Its answer differs from that of the service behind it.
    Answer(String),
}

impl Doubt {
    /// The cause, as a sentence.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Unreachable(sentence) | Self::Answer(sentence) => sentence,
        }
    }
}

/// Sends `times` requests one after the other, and stops at the first failure.
///
/// A Gateway itself answers 404 if it does not have the rule, and 5xx if a share of the requests has no available backend.
/// These count as success only if `service`, requested directly, answers the same.
///
/// # Errors
/// Why the status is doubted.
pub async fn ask(question: &Question, times: u32, service: Option<SocketAddr>) -> Result<(), Doubt> {
    let Question { gateway, address, port, host, path, .. } = question;
    let place = format!("Gateway {gateway} at {address} port {port} (request for {host}{path})");
    let unreachable = |error: String| Doubt::Unreachable(format!("{place} can't be reached: {error}"));
    let target = look_up(address, *port).await.map_err(unreachable)?;
    let client = client(host, target).map_err(unreachable)?;
    let mut own = None;
    for time in 1..=times {
        let status = status(&client, question, target).await.map_err(unreachable)?;
        if !is_gateways_own(status) {
            continue;
        }
        if own.is_none()
            && let Some(service) = service
        {
            own = direct(question, service).await;
        }
        if own != Some(status) {
            let code = status.as_u16();
            let also = match own {
                Some(own) => format!(", while the service itself answers {}", own.as_u16()),
                None => String::new(),
            };
            return Err(Doubt::Answer(format!("{place} answers {code} to request {time} of {times}{also}")));
        }
    }
    Ok(())
}

fn is_gateways_own(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status.is_server_error()
}

/// The status code of the service without the Gateway; `None` if it does not answer.
async fn direct(question: &Question, service: SocketAddr) -> Option<StatusCode> {
    let question = Question { tls: false, ..question.clone() };
    status(&client(&question.host, service).ok()?, &question, service).await.ok()
}

async fn look_up(address: &str, port: u16) -> Result<SocketAddr, String> {
    match timeout(ANSWER_TIMEOUT, names::look_up(address, port)).await {
        Ok(Ok(found)) => found.first().copied().ok_or_else(|| format!("{address} has no address")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("the lookup of {address} took more than {} s", ANSWER_TIMEOUT.as_secs())),
    }
}

fn client(host: &str, target: SocketAddr) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(concat!("plimsoll-probe/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .timeout(ANSWER_TIMEOUT)
        // The certificate is for clients to verify; the probe sends nothing secret.
        .tls_danger_accept_invalid_certs(true)
        .resolve(host, target);
    builder.build().map_err(|error| error.to_string())
}

async fn status(client: &Client, question: &Question, target: SocketAddr) -> Result<StatusCode, String> {
    let scheme = if question.tls { "https" } else { "http" };
    // `client` resolves the host name to `target`; an IP address must be that of `target` itself.
    let is_address = question.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let place = if is_address { target.to_string() } else { format!("{}:{}", question.host, target.port()) };
    let mut url = Url::parse(&format!("{scheme}://{place}/"))
        .map_err(|error| format!("{:?} is not a valid host name: {error}", question.host))?;
    url.set_path(&question.path);
    let mut request =
        client.get(url).header(header::HOST, &question.host).header(header::CONNECTION, "close");
    for (name, value) in &question.headers {
        request = request.header(name, value);
    }
    request.send().await.map(|answer| answer.status()).map_err(|error| root_cause(&error))
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
