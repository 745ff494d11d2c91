//! What can go wrong, in one sentence each that says what to do.

use std::error::Error;

use kube::config::KubeconfigError;
use thiserror::Error;

/// Why the plugin can't show what was asked for.
#[derive(Debug, Error)]
pub enum Failure {
    /// There is no kubeconfig, or it can't be used.
    #[error("there is no usable kubeconfig: {0}; set KUBECONFIG, --kubeconfig or --context")]
    NoConfig(String),
    /// The proxy that is set can't be used.
    #[error("{0}")]
    Proxy(String),
    /// Nobody answers.
    #[error("can't reach the cluster at {url}: {why}")]
    Unreachable {
        /// The API server, and the proxy if there is one.
        url: String,
        /// The innermost error.
        why: String,
    },
    /// 401.
    #[error(
        "the cluster at {url} does not accept your credentials: log in again, or choose another --context"
    )]
    Unauthorized {
        /// The API server.
        url: String,
    },
    /// 403.
    #[error(
        "you lack the right to {verb} scalableservices.plimsoll.dev {place}: ask for a role with that verb on it"
    )]
    Forbidden {
        /// The verb of the missing right.
        verb: &'static str,
        /// In which namespace.
        place: String,
    },
    /// 404 of the resource itself.
    #[error(
        "the cluster at {url} has no ScalableServices: install Plimsoll's CRD first (helm install plimsoll …)"
    )]
    NotInstalled {
        /// The API server.
        url: String,
    },
    /// 404 of the object.
    #[error("there is no ScalableService {name} {place}")]
    NotFound {
        /// The name asked for.
        name: String,
        /// In which namespace.
        place: String,
    },
    /// Anything else that the API server refused, or an answer that is not understood.
    #[error("can't {verb} scalableservices {place}: {why}")]
    Refused {
        /// What was asked.
        verb: &'static str,
        /// In which namespace.
        place: String,
        /// The server's message.
        why: String,
    },
    /// What was said of a failover can't be done.
    #[error("{0}")]
    Order(String),
    /// The objects could not be written as YAML or JSON.
    #[error("can't write the objects as {form}: {why}")]
    Form {
        /// YAML or JSON.
        form: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Standard output.
    #[error("can't write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    /// The kubeconfig, or what the environment adds to it, can't be used.
    pub fn of_config(error: &KubeconfigError) -> Self {
        match error {
            KubeconfigError::ParseNoProxy(why) => Self::Proxy(format!(
                "NO_PROXY can't be used: {why}; it must be host names, addresses and networks, each after one comma"
            )),
            KubeconfigError::ParseProxyUrl(why) => Self::Proxy(format!(
                "HTTPS_PROXY can't be used: {why}; it must be an http, https or socks5 URL"
            )),
            other => Self::no_config(other),
        }
    }

    /// The kubeconfig can't be used.
    pub fn no_config(error: &dyn Error) -> Self {
        // The outer message names the file; further lines only quote it.
        let text = error.to_string();
        Self::NoConfig(text.lines().next().unwrap_or_default().to_owned())
    }

    /// The sentence for an error of the client.
    pub fn of(error: &kube::Error, verb: &'static str, name: Option<&str>, place: &str, url: &str) -> Self {
        let (url, place) = (url.to_owned(), place.to_owned());
        match error {
            kube::Error::Api(status) => {
                let object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
                match (status.code, name) {
                    (401, _) => Self::Unauthorized { url },
                    (403, _) => Self::Forbidden { verb, place },
                    (404, Some(name)) if object => Self::NotFound { name: name.to_owned(), place },
                    (404, _) => Self::NotInstalled { url },
                    _ => Self::Refused { verb, place, why: status.message.clone() },
                }
            }
            kube::Error::SerdeError(_) => {
                let why = format!("what {url} answers is no list or object of Kubernetes; is it a proxy?");
                Self::Refused { verb, place, why }
            }
            _ => Self::Unreachable { url, why: innermost(error) },
        }
    }

    /// Whether asking again may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }
}

/// The message of the cause of the cause: what a person can act on.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::Failure;

    fn said(code: u16, details: Option<StatusDetails>, name: Option<&str>) -> String {
        let status = Status { code, message: "no".into(), details, ..Status::default() };
        let error = kube::Error::Api(Box::new(status));
        Failure::of(&error, "get", name, "in namespace shop", "https://10.0.0.1:6443").to_string()
    }

    #[test]
    fn a_missing_object_and_a_missing_crd_are_different() {
        let details: StatusDetails =
            serde_json::from_str(r#"{"name":"checkout","group":"plimsoll.dev","kind":"scalableservices"}"#)
                .unwrap();
        assert_eq!(
            said(404, Some(details), Some("checkout")),
            "there is no ScalableService checkout in namespace shop"
        );
        assert!(said(404, None, Some("checkout")).contains("install Plimsoll's CRD"));
    }

    #[test]
    fn a_missing_right_is_named() {
        assert!(said(403, None, None).contains("to get scalableservices.plimsoll.dev in namespace shop"));
        assert!(said(401, None, None).contains("credentials"));
        assert!(said(500, None, None).ends_with("in namespace shop: no"));
    }
}
