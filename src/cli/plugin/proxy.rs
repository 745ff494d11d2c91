//! The proxy to the API server, chosen as by kubectl: `proxy-url` of the kubeconfig, else that of the environment.
//!
//! The choice is made here because kube compares `NO_PROXY` with the address of the proxy instead of the server, and applies
//! it to `proxy-url` too.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Schemes that kube has a connector for.
const SCHEMES: [&str; 3] = ["http", "https", "socks5"];

/// The proxy variables of the environment; empty if unset.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HTTPS_PROXY`: for https servers.
    pub https: String,
    /// `HTTP_PROXY`: for http servers.
    pub http: String,
    /// `NO_PROXY`: servers to connect to directly.
    pub no: String,
}

impl Environment {
    /// Reads the variables; each name may also be in lower case.
    pub fn read() -> Self {
        let value = |name: &str| {
            let names = [name.to_owned(), name.to_lowercase()];
            let values = names.iter().filter_map(|name| std::env::var(name).ok());
            values.map(|value| value.trim().to_owned()).find(|value| !value.is_empty()).unwrap_or_default()
        };
        Self { https: value("HTTPS_PROXY"), http: value("HTTP_PROXY"), no: value("NO_PROXY") }
    }

    /// The variable with the proxy for `server`, and its value. The loopback has no proxy, as in Go's `net/http`.
    fn proxy_for(&self, server: &Uri) -> Option<(&'static str, &str)> {
        let is_https = server.scheme_str() == Some("https");
        let (name, value) = if is_https { ("HTTPS_PROXY", &self.https) } else { ("HTTP_PROXY", &self.http) };
        let host = server.host()?.trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let port = server.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        // The address does not matter; the matcher only checks whether NO_PROXY names the server.
        let matcher = Matcher::builder().all("http://proxy.invalid").no(exceptions(&self.no, port)).build();
        (!value.is_empty() && !loopback && matcher.intercept(server).is_some()).then_some((name, value))
    }
}

/// The entries of `NO_PROXY` that apply to this port, without the port, and with `.example` for `*.example`.
fn exceptions(no_proxy: &str, port: u16) -> String {
    let entries = no_proxy.split(',').map(str::trim).filter_map(|entry| {
        let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
        match entry.rsplit_once(':') {
            Some((host, number)) if host.ends_with(']') || !host.contains(':') => {
                (number.parse() == Ok(port)).then_some(host)
            }
            _ => Some(entry),
        }
    });
    entries.map(|entry| entry.trim_matches(['[', ']'])).collect::<Vec<_>>().join(",")
}

/// The proxy for `server`, if there is one. `own` is `proxy-url` of the kubeconfig. The error is a sentence.
pub fn choose(own: Option<&str>, server: &Uri, environment: &Environment) -> Result<Option<Uri>, String> {
    match own.filter(|own| !own.is_empty()) {
        Some(own) => parse("proxy-url of the kubeconfig", own).map(Some),
        None => environment.proxy_for(server).map(|(name, value)| parse(name, value)).transpose(),
    }
}

fn parse(origin: &str, text: &str) -> Result<Uri, String> {
    // The scheme may be missing, as in `proxy:3128`.
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.filter(|uri| uri.scheme_str().is_some_and(|scheme| SCHEMES.contains(&scheme))).ok_or_else(|| {
        format!("{origin} is {:?}; it must be an http, https or socks5 URL", without_password(text))
    })
}

/// The URL of a proxy for a message, without user and password.
pub fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.trim_end_matches('/');
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(https: &str, no: &str) -> Environment {
        Environment { https: https.to_owned(), http: "http://plain:3128".to_owned(), no: no.to_owned() }
    }

    fn chosen(own: Option<&str>, server: &str, environment: &Environment) -> Option<String> {
        let uri = choose(own, &server.parse().unwrap(), environment).unwrap();
        uri.map(|uri| without_password(&uri.to_string()))
    }

    #[test]
    fn kubeconfig_proxy_precedes_the_environment_proxy_of_the_servers_scheme() {
        let set = environment("corp:3128", "proxy.corp,10.0.0.1");
        let server = "https://10.0.0.1:6443";
        let own = Some("socks5://proxy.corp:1080");
        assert_eq!(chosen(own, server, &set).as_deref(), Some("socks5://proxy.corp:1080"));
        assert_eq!(chosen(None, "https://10.0.0.2:6443", &set).as_deref(), Some("http://corp:3128"));
        assert_eq!(chosen(Some(""), "http://10.0.0.2", &set).as_deref(), Some("http://plain:3128"));
        assert_eq!(chosen(None, server, &Environment::default()), None);
    }

    #[test]
    fn no_proxy_matches_the_server() {
        let server = "https://api.shop.example:6443";
        for no in ["api.shop.example", ".shop.example", "*.shop.example", "a, api.shop.example:6443,", "*"] {
            assert_eq!(chosen(None, server, &environment("http://corp:3128", no)), None, "{no}");
        }
        for no in ["corp", "api.shop.example:443", "op.example", ""] {
            assert!(chosen(None, server, &environment("http://corp:3128", no)).is_some(), "{no}");
        }
        for (server, no) in [
            ("https://10.1.2.3:6443", "10.0.0.0/8"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
            ("https://[fd00::1]", "fd00::/8"),
        ] {
            assert_eq!(chosen(None, server, &environment("http://corp:3128", no)), None, "{no}");
        }
        for loopback in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(chosen(None, loopback, &environment("http://corp:3128", "")), None, "{loopback}");
        }
    }

    #[test]
    fn invalid_proxy_is_reported_without_its_password() {
        let server = "https://10.0.0.1".parse().unwrap();
        let own = choose(Some("ftp://me:secret@proxy:21"), &server, &Environment::default());
        let expected =
            "proxy-url of the kubeconfig is \"ftp://proxy:21\"; it must be an http, https or socks5 URL";
        assert_eq!(own, Err(expected.to_owned()));
        let set = choose(None, &server, &environment("http://", ""));
        assert_eq!(
            set,
            Err("HTTPS_PROXY is \"http://\"; it must be an http, https or socks5 URL".to_owned())
        );
    }
}
