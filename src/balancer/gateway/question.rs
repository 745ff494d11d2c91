//! The requests that probe a rule of a Gateway from outside. Pure.

use std::net::IpAddr;

use kube::{ResourceExt as _, api::DynamicObject};
use serde::Deserialize;

use super::route::{Match, ParentRef, Route, Rule, Value};

/// Most probed pairs of address and listener; more would prove little.
const QUESTIONS_MAX: usize = 8;
/// Replaces the wildcard of a hostname.
const ANY_LABEL: &str = "plimsoll";

/// One probe request that the rule should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The Gateway, for messages.
    pub gateway: String,
    /// An IP address, or a name to look up.
    pub address: String,
    /// Port of the listener.
    pub port: u16,
    /// Whether the listener terminates TLS.
    pub tls: bool,
    /// Host name of the request.
    pub host: String,
    /// Path.
    pub path: String,
    /// Headers that the rule matches on.
    pub headers: Vec<(String, String)>,
}

/// The parts of a Gateway that probes need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    listeners: Vec<Listener>,
    addresses: Vec<Address>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Listener {
    name: String,
    port: u16,
    protocol: String,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default, rename = "allowedRoutes")]
    allowed_routes: AllowedRoutes,
}

/// The routes that a listener accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct AllowedRoutes {
    #[serde(default)]
    namespaces: AllowedNamespaces,
    #[serde(default)]
    kinds: Vec<AllowedKind>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct AllowedNamespaces {
    /// `Same` by default.
    #[serde(default)]
    from: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct AllowedKind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Address {
    #[serde(default, rename = "type")]
    type_: Option<String>,
    value: String,
}

impl Gateway {
    /// Parses `object`; `None` if it is invalid, which the CRD's schema rules out.
    #[must_use]
    pub fn of(object: &DynamicObject) -> Option<Self> {
        let listeners = object.data.pointer("/spec/listeners").map(Vec::deserialize)?.ok()?;
        let addresses = match object.data.pointer("/status/addresses") {
            Some(addresses) => Vec::deserialize(addresses).ok()?,
            None => Vec::new(),
        };
        Some(Self { namespace: object.namespace()?, name: object.name_any(), listeners, addresses })
    }
}

/// The probe requests for `rule` of `route` at `parent`, which is `gateway`: one for each address and listener.
///
/// # Errors
/// A sentence that says what the Gateway lacks.
pub fn questions(
    route: &Route,
    rule: &Rule,
    parent: &ParentRef,
    gateway: &Gateway,
) -> Result<Vec<Question>, String> {
    // A rule that no simple request matches can't be probed.
    let Some((path, headers)) = request(rule) else { return Ok(Vec::new()) };
    let Gateway { namespace, name, listeners, addresses } = gateway;
    let usable =
        |address: &&Address| matches!(address.type_.as_deref(), None | Some("IPAddress" | "Hostname"));
    if !addresses.iter().any(|address| usable(&address)) {
        return Err(format!("Gateway {namespace}/{name} has no address in its status yet"));
    }
    let mut questions = Vec::new();
    let same = route.namespace == *namespace;
    for listener in listeners.iter().filter(|listener| meant(listener, parent) && admits(listener, same)) {
        for address in addresses.iter().filter(usable) {
            let Some(host) = host(&route.hostnames, listener.hostname.as_deref(), &address.value) else {
                continue;
            };
            questions.push(Question {
                gateway: format!("{namespace}/{name}"),
                address: address.value.clone(),
                port: listener.port,
                tls: listener.protocol == "HTTPS",
                host,
                path: path.clone(),
                headers: headers.clone(),
            });
        }
    }
    questions.truncate(QUESTIONS_MAX);
    if questions.is_empty() {
        let route = &route.name;
        return Err(format!(
            "no listener of Gateway {namespace}/{name} is known to accept HTTPRoute {route}"
        ));
    }
    Ok(questions)
}

fn meant(listener: &Listener, parent: &ParentRef) -> bool {
    matches!(listener.protocol.as_str(), "HTTP" | "HTTPS")
        && parent.section_name.as_ref().is_none_or(|section| *section == listener.name)
        && parent.port.is_none_or(|port| port == i32::from(listener.port))
}

/// Whether the listener certainly accepts a route that is in the `same` namespace as the Gateway, or not. The namespaces of a
/// selector are unknown here.
fn admits(listener: &Listener, same: bool) -> bool {
    let AllowedRoutes { namespaces, kinds } = &listener.allowed_routes;
    let namespace = match namespaces.from.as_deref() {
        None | Some("Same") => same,
        Some(from) => from == "All",
    };
    namespace && (kinds.is_empty() || kinds.iter().any(|allowed| allowed.kind == "HTTPRoute"))
}

/// Path and headers of a GET request that meets one of the rule's matches.
fn request(rule: &Rule) -> Option<(String, Vec<(String, String)>)> {
    if rule.matches.is_empty() {
        return Some(("/".to_owned(), Vec::new()));
    }
    rule.matches.iter().find_map(|one| {
        let Match { path, method, headers, query_params } = one;
        if method.as_deref().is_some_and(|method| method != "GET") || !query_params.is_empty() {
            return None;
        }
        let headers = headers.iter().map(|header| Some((header.name.clone(), plain(&header.value)?)));
        let path = path.as_ref().map_or(Some("/".to_owned()), plain)?;
        Some((path, headers.collect::<Option<_>>()?))
    })
}

/// The value of an exact or a prefix match.
fn plain(value: &Value) -> Option<String> {
    let is_plain = matches!(value.type_.as_deref(), None | Some("Exact" | "PathPrefix"));
    value.value.clone().filter(|_| is_plain)
}

/// A host name that matches both the route and the listener.
fn host(route: &[String], listener: Option<&str>, address: &str) -> Option<String> {
    let known = |pattern: &str| pattern.replacen('*', ANY_LABEL, 1);
    let fits = |pattern: &str, name: &str| match pattern.strip_prefix('*') {
        Some(rest) => name.len() > rest.len() && name.ends_with(rest),
        None => pattern == name,
    };
    match (route, listener) {
        ([], Some(listener)) => Some(known(listener)),
        ([], None) => {
            // Any name matches. The Gateway's own name or address is the most natural one.
            let bracketed = address.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
            Some(if bracketed { format!("[{address}]") } else { known(address) })
        }
        (names, None) => names.first().map(|name| known(name)),
        (names, Some(listener)) => names.iter().find_map(|name| match name.strip_prefix('*') {
            // The narrower of two wildcards matches both.
            Some(_) => fits(name, &known(listener)).then(|| known(listener)).or_else(|| {
                let name = known(name);
                fits(listener, &name).then_some(name)
            }),
            None => fits(listener, name).then(|| name.clone()),
        }),
    }
}
