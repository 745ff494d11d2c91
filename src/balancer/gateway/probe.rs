//! Asks a Gateway whether it answers, each time on a connection of its own.
//!
//! What this proves: that a Gateway which says it is done serves the rule at all (not 404), and that no share of the
//! requests goes where nobody answers (not 5xx). A share of `s` is overlooked by `n` requests with a probability of
//! `(1 - s)^n`. What it can't prove is which backend answered: that is a promise of the Gateway's status alone.

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

/// A connection with its answer takes no longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a Gateway is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It can't be asked, which says nothing about what it does for others.
    Unreachable(String),
    /// It gave an answer that the service behind it does not give.
    Answer(String),
}

impl Doubt {
    /// In a sentence.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Unreachable(sentence) | Self::Answer(sentence) => sentence,
        }
    }
}

/// Asks `times` times in a row, and stops at the first answer that is none.
///
/// 404 and 5xx are what a Gateway says of its own when it knows no such rule, or has nobody for a share of the requests.
/// They count as answers only if `service`, asked directly, gives the same.
///
/// # Errors
/// Why it is not believed.
pub async fn ask(question: &Question, times: u32, service: Option<SocketAddr>) -> Result<(), Doubt> {
    let Question { gateway, address, port, host, path, .. } = question;
    let place = format!("Gateway {gateway} at {address} port {port}, asked for {host}{path},");
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
                Some(own) => format!(", where the service itself says {}", own.as_u16()),
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

/// What the service says without the Gateway; `None` if it says nothing.
async fn direct(question: &Question, service: SocketAddr) -> Option<StatusCode> {
    let question = Question { tls: false, ..question.clone() };
    status(&client(&question.host, service).ok()?, &question, service).await.ok()
}

async fn look_up(address: &str, port: u16) -> Result<SocketAddr, String> {
    match timeout(ANSWER_TIMEOUT, names::look_up(address, port)).await {
        Ok(Ok(found)) => found.first().copied().ok_or_else(|| format!("{address} has no address")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("{address} was not looked up within {} s", ANSWER_TIMEOUT.as_secs())),
    }
}

fn client(host: &str, target: SocketAddr) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(concat!("plimsoll-probe/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .timeout(ANSWER_TIMEOUT)
        // Whose certificate it is, is for its clients to judge; nothing secret is sent.
        .tls_danger_accept_invalid_certs(true)
        .resolve(host, target);
    builder.build().map_err(|error| error.to_string())
}

async fn status(client: &Client, question: &Question, target: SocketAddr) -> Result<StatusCode, String> {
    let scheme = if question.tls { "https" } else { "http" };
    // A name is looked up as `client` was told; an address is what it is.
    let is_address = question.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let place = if is_address { target.to_string() } else { format!("{}:{}", question.host, target.port()) };
    let mut url = Url::parse(&format!("{scheme}://{place}/"))
        .map_err(|error| format!("{:?} is no name to ask for: {error}", question.host))?;
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
