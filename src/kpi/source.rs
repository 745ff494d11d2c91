//! Configuration of a source: one Prometheus (or Thanos, Mimir, VictoriaMetrics).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use thiserror::Error;

/// A source in the operator's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceConfig {
    /// Name, for `spec.kpis[].source`.
    pub name: String,
    /// URL up to, but without, `/api/v1`: `http://prometheus.monitoring:9090`, `https://mimir/prometheus`.
    pub url: String,
    /// Timeout of one query, including the wait for a free slot: 100ms to 60s.
    #[serde(default = "timeout")]
    pub timeout: kube::core::Duration,
    /// Age of the newest sample above which an answer is stale: 1s to 1h. It should be at least three scrape intervals.
    #[serde(default = "stale_after")]
    pub stale_after: kube::core::Duration,
    /// Most concurrent queries: 1 to 1000. One service gets at most half of them.
    #[serde(default = "max_concurrency")]
    pub max_concurrency: usize,
    /// File with a bearer token; read again when it changes.
    pub bearer_token_file: Option<PathBuf>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// PEM bundle of the trusted CAs, instead of the system's; read again when it changes.
    pub ca_file: Option<PathBuf>,
    /// Additional headers of each query, such as `X-Scope-OrgID`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// HTTP Basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// User name, without a colon.
    pub username: String,
    /// File with the password; read again when it changes.
    pub password_file: PathBuf,
}

/// The invalid settings of the sources, a sentence each.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

fn timeout() -> kube::core::Duration {
    Duration::from_secs(5).into()
}

fn stale_after() -> kube::core::Duration {
    Duration::from_secs(60).into()
}

fn max_concurrency() -> usize {
    8
}

impl SourceConfig {
    /// A source with the defaults.
    #[must_use]
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            timeout: timeout(),
            stale_after: stale_after(),
            max_concurrency: max_concurrency(),
            bearer_token_file: None,
            basic_auth: None,
            ca_file: None,
            headers: BTreeMap::new(),
        }
    }

    /// The parsed headers. The error has a sentence for each invalid one.
    pub(super) fn header_map(&self) -> Result<HeaderMap, Vec<String>> {
        let mut wrong = Vec::new();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let path = format!("source {:?}: headers", self.name);
            let Ok(header) = name.parse::<HeaderName>() else {
                wrong.push(format!("{path} has the name {name:?}, which is not a valid HTTP header name"));
                continue;
            };
            if header == AUTHORIZATION {
                wrong.push(format!(
                    "{path} has {name}; use bearerTokenFile or basicAuth, which read secrets from files"
                ));
            } else if header == CONTENT_TYPE || header == CONTENT_LENGTH {
                wrong.push(format!("{path} has {name}, which each query sets itself"));
            }
            match value.parse::<HeaderValue>() {
                Ok(value) => drop(headers.insert(header, value)),
                Err(_) => wrong
                    .push(format!("{path}.{name} has a value with characters not allowed in an HTTP header")),
            }
        }
        if wrong.is_empty() { Ok(headers) } else { Err(wrong) }
    }
}

/// The invalid settings of the sources, a sentence each. Files are read later, when the sources are opened.
pub(super) fn check(sources: &[SourceConfig]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for (index, source) in sources.iter().enumerate() {
        if source.name.is_empty() {
            wrong.push(format!("sources[{index}].name is empty; a source needs a name"));
        } else if !names.insert(source.name.as_str()) {
            wrong.push(format!("sources[{index}].name is {:?} again; names must be unique", source.name));
        }
        check_url(source, &mut wrong);
        check_ranges(source, &mut wrong);
        check_auth(source, &mut wrong);
        wrong.extend(source.header_map().err().into_iter().flatten());
    }
    wrong
}

fn check_url(source: &SourceConfig, wrong: &mut Vec<String>) {
    let (name, url) = (&source.name, &source.url);
    let Some(parsed) =
        url.parse::<reqwest::Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    else {
        wrong.push(format!("source {name:?}: url is {url:?}; it must be an http or https URL"));
        return;
    };
    // The URL contains a secret, so the message does not repeat it.
    if !parsed.username().is_empty() || parsed.password().is_some() {
        wrong.push(format!("source {name:?}: url has a user or a password in it; use basicAuth"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        wrong.push(format!("source {name:?}: url is {url:?}; it must end with the path, without ? and #"));
    }
    if parsed.path().contains("/api/v1") {
        wrong.push(format!("source {name:?}: url is {url:?}; it must end before /api/v1"));
    }
}

fn check_ranges(source: &SourceConfig, wrong: &mut Vec<String>) {
    let name = &source.name;
    let range = |field: &str, found: kube::core::Duration, least: Duration, most: Duration| {
        let within = !found.is_negative() && (least..=most).contains(&Duration::from(found));
        (!within).then(|| {
            let (least, most) = (kube::core::Duration::from(least), kube::core::Duration::from(most));
            format!("source {name:?}: {field} is {found}; it must be from {least} to {most}")
        })
    };
    wrong.extend(range("timeout", source.timeout, Duration::from_millis(100), Duration::from_secs(60)));
    wrong.extend(range("staleAfter", source.stale_after, Duration::from_secs(1), Duration::from_secs(3600)));
    if !(1..=1000).contains(&source.max_concurrency) {
        let found = source.max_concurrency;
        wrong.push(format!("source {name:?}: maxConcurrency is {found}; it must be from 1 to 1000"));
    }
}

fn check_auth(source: &SourceConfig, wrong: &mut Vec<String>) {
    let name = &source.name;
    if source.bearer_token_file.is_some() && source.basic_auth.is_some() {
        wrong.push(format!(
            "source {name:?}: bearerTokenFile and basicAuth are both set; only one of them can be used"
        ));
    }
    if let Some(basic) = &source.basic_auth
        && (basic.username.is_empty() || basic.username.contains(':'))
    {
        let found = &basic.username;
        wrong.push(format!(
            "source {name:?}: basicAuth.username is {found:?}; it must not be empty or have a colon"
        ));
    }
    if source.ca_file.is_some() && source.url.starts_with("http://") {
        wrong.push(format!("source {name:?}: caFile is set, but url is not https"));
    }
}

#[cfg(test)]
mod tests {
    use super::{SourceConfig, check};

    fn parse(yaml: &str) -> Result<SourceConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minimal_configuration_has_the_documented_defaults() {
        let source = parse("name: default\nurl: http://prometheus:9090").unwrap();
        assert_eq!(source, SourceConfig::new("default", "http://prometheus:9090"));
        assert_eq!((source.timeout.to_string(), source.stale_after.to_string()), ("5s".into(), "60s".into()));
        assert_eq!(source.max_concurrency, 8);
        assert_eq!(check(&[source]), Vec::<String>::new());
        assert!(parse("name: a\nurl: http://a\ntimeOut: 5s").unwrap_err().contains("timeOut"));
    }

    #[test]
    fn each_invalid_setting_has_its_own_sentence() {
        for (yaml, expected) in [
            ("name: ''\nurl: http://a", "sources[0].name is empty; a source needs a name"),
            (
                "name: a\nurl: prometheus:9090",
                "source \"a\": url is \"prometheus:9090\"; it must be an http or https URL",
            ),
            (
                "name: a\nurl: http://me:pw@a",
                "source \"a\": url has a user or a password in it; use basicAuth",
            ),
            (
                "name: a\nurl: http://a/api/v1/query",
                "source \"a\": url is \"http://a/api/v1/query\"; it must end before /api/v1",
            ),
            (
                "name: a\nurl: http://a/?x=1",
                "source \"a\": url is \"http://a/?x=1\"; it must end with the path, without ? and #",
            ),
            (
                "name: a\nurl: http://a\ntimeout: 2m",
                "source \"a\": timeout is 120s; it must be from 100ms to 60s",
            ),
            (
                "name: a\nurl: http://a\nstaleAfter: -5s",
                "source \"a\": staleAfter is -5s; it must be from 1s to 3600s",
            ),
            (
                "name: a\nurl: http://a\nmaxConcurrency: 0",
                "source \"a\": maxConcurrency is 0; it must be from 1 to 1000",
            ),
            (
                "name: a\nurl: http://a\nbearerTokenFile: /t\nbasicAuth: {username: u, passwordFile: /p}",
                "source \"a\": bearerTokenFile and basicAuth are both set; only one of them can be used",
            ),
            (
                "name: a\nurl: http://a\nbasicAuth: {username: 'u:v', passwordFile: /p}",
                "source \"a\": basicAuth.username is \"u:v\"; it must not be empty or have a colon",
            ),
            ("name: a\nurl: http://a\ncaFile: /ca.pem", "source \"a\": caFile is set, but url is not https"),
            (
                "name: a\nurl: http://a\nheaders: {'X Y': z}",
                "source \"a\": headers has the name \"X Y\", which is not a valid HTTP header name",
            ),
            (
                "name: a\nurl: http://a\nheaders: {Authorization: z}",
                "source \"a\": headers has Authorization; use bearerTokenFile or basicAuth, which read secrets from files",
            ),
            (
                "name: a\nurl: http://a\nheaders: {X-Org: \"a\\nb\"}",
                "source \"a\": headers.X-Org has a value with characters not allowed in an HTTP header",
            ),
        ] {
            assert_eq!(check(&[parse(yaml).unwrap()]), [expected]);
        }
        let twice = SourceConfig::new("a", "http://a");
        assert_eq!(check(&[twice.clone(), twice]), ["sources[1].name is \"a\" again; names must be unique"]);
    }
}
