//! The failures of the plugin, each with a sentence that names the remedy.

use std::error::Error;

use kube::config::KubeconfigError;
use thiserror::Error;

/// A failure of the plugin.
#[derive(Debug, Error)]
pub enum Failure {
    /// There is no kubeconfig, or it can't be used.
    #[error("there is no usable kubeconfig: {0}; set KUBECONFIG, --kubeconfig or --context")]
    NoConfig(String),
    /// The configured proxy can't be used.
    #[error("{0}")]
    Proxy(String),
    /// The API server does not respond.
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
        "you lack permission to {verb} scalableservices.plimsoll.dev {place}: ask for a role with that verb"
    )]
    Forbidden {
        /// The verb of the missing permission.
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
    /// Another refusal by the API server, or an unreadable response.
    #[error("can't {verb} scalableservices {place}: {why}")]
    Refused {
        /// The verb of the request.
        verb: &'static str,
        /// In which namespace.
        place: String,
        /// The server's message.
        why: String,
    },
    /// A manual override of a failover can't be set.
    #[error("{0}")]
    ManualOverride(String),
    /// The objects could not be written as YAML or JSON.
    #[error("can't write the objects as {form}: {why}")]
    Form {
        /// YAML or JSON.
        form: &'static str,
        /// The error.
        why: String,
    },
    /// Standard output can't be written.
    #[error("can't write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    /// The kubeconfig or the proxy variables of the environment can't be used.
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
        // The first line names the file; the following lines only quote it.
        let text = error.to_string();
        Self::NoConfig(text.lines().next().unwrap_or_default().to_owned())
    }

    /// The failure for an error of the client.
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
                let why = format!("the response of {url} is not a Kubernetes object; is it a proxy?");
                Self::Refused { verb, place, why }
            }
            _ => Self::Unreachable { url, why: innermost(error) },
        }
    }

    /// Whether a retry may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }
}

/// The message of the innermost cause, which is the actionable one.
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

    fn message(code: u16, details: Option<StatusDetails>, name: Option<&str>) -> String {
        let status = Status { code, message: "no".into(), details, ..Status::default() };
        let error = kube::Error::Api(Box::new(status));
        Failure::of(&error, "get", name, "in namespace shop", "https://10.0.0.1:6443").to_string()
    }

    #[test]
    fn missing_object_and_missing_crd_have_different_messages() {
        let details: StatusDetails =
            serde_json::from_str(r#"{"name":"checkout","group":"plimsoll.dev","kind":"scalableservices"}"#)
                .unwrap();
        assert_eq!(
            message(404, Some(details), Some("checkout")),
            "there is no ScalableService checkout in namespace shop"
        );
        assert!(message(404, None, Some("checkout")).contains("install Plimsoll's CRD"));
    }

    #[test]
    fn missing_permission_is_named() {
        assert!(message(403, None, None).contains("to get scalableservices.plimsoll.dev in namespace shop"));
        assert!(message(401, None, None).contains("credentials"));
        assert!(message(500, None, None).ends_with("in namespace shop: no"));
    }
}
