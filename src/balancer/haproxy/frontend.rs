//! The frontend for clients: its ports, its limits, and the rules for a request before a backend gets it.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{access_log, backend::backend, forwarded, paths::Paths, quote::quoted, standbys};
use crate::balancer::{ConfigError, Wanted, text::name};
use plimsoll_api::{Criticality, RequestMatch, Traffic};

/// Name of the frontend.
pub(super) const LISTENERS: &str = "listeners";

/// In HTTP/2 an extended CONNECT requests a WebSocket (RFC 8441). HAProxy turns it into a GET and adds the key later.
const UPGRADES: &str = "    # Only a WebSocket (RFC 6455) may become a tunnel: rules and limits do not apply inside one, and it delays draining.
    http-request return status 405 if { method CONNECT }
    acl has_websocket_key req.fhdr(sec-websocket-key) -m reg ^[A-Za-z0-9+/]{22}==$
    acl has_websocket_key fc_http_major eq 2
    acl asks_for_websocket req.fhdr(upgrade) -i -m str websocket
    acl asks_for_one_protocol req.hdr_cnt(upgrade) eq 1
    http-request set-var(txn.websocket) bool(true) if { method GET } asks_for_websocket asks_for_one_protocol has_websocket_key
    http-request del-header Upgrade unless { var(txn.websocket) -m bool }
    http-request del-header HTTP2-Settings
";

pub(super) fn frontend(wanted: &Wanted, paths: &Paths) -> Result<String, ConfigError> {
    let traffic = &wanted.traffic;
    let mut text = format!("frontend {LISTENERS}\n");
    text += &binds(wanted, paths)?;
    text += &forwarded::proxies(traffic)?;
    text += &forwarded::headers(traffic);
    text += &access_log::rules(traffic);
    text += &capacity(wanted)?;
    text += UPGRADES;
    text += &secure_cookies(wanted)?;
    text += &priorities(traffic)?;
    text += &standbys::split(wanted, paths)?;
    let _ = writeln!(text, "    default_backend {}", name("the service", backend(wanted))?);
    Ok(text)
}

fn binds(wanted: &Wanted, paths: &Paths) -> Result<String, ConfigError> {
    let mut text = String::new();
    for listen in &wanted.listeners {
        let tls = match &listen.certificate {
            Some(certificate) => {
                let file = quoted("the path of a certificate", &certificate.display().to_string())?;
                format!(" ssl crt {file} alpn h2,http/1.1")
            }
            None => String::new(),
        };
        for address in addresses(paths.listen, listen.port) {
            let _ = writeln!(text, "    bind {address}{tls}");
        }
    }
    Ok(text)
}

/// An unspecified IPv6 address includes IPv4, on a separate socket: on a dual-stack socket an IPv4 client's address is
/// written as `::ffff:192.0.2.1`.
pub(super) fn addresses(address: IpAddr, port: u16) -> Vec<String> {
    match address {
        IpAddr::V6(address) if address.is_unspecified() => {
            vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).to_string(), format!("[::]:{port} v6only")]
        }
        address => vec![SocketAddr::new(address, port).to_string()],
    }
}

/// Limits of clients: connections, and the same number of requests, since an HTTP/2 connection carries several.
fn capacity(wanted: &Wanted) -> Result<String, ConfigError> {
    let most = wanted.resources.capacity().connections;
    let service = name("the service", backend(wanted))?;
    let mut text = format!(
        "    maxconn {most}
    # The same limit for requests, so that HTTP/2 streams take no more memory than connections.
    http-request set-var(txn.requests) be_conn({service})
"
    );
    for standby in &wanted.standbys {
        let standby = name("the name of a standby", &standby.name)?;
        let _ = writeln!(
            text,
            "    http-request set-var(txn.requests) be_conn({service}_{standby}),add(txn.requests)"
        );
    }
    let _ = writeln!(
        text,
        "    http-request return status 503 hdr Retry-After 1 if {{ var(txn.requests) -m int ge {most} }}"
    );
    Ok(text)
}

/// Marks the balancer's own cookies as `Secure` if they are set over TLS.
fn secure_cookies(wanted: &Wanted) -> Result<String, ConfigError> {
    let Some(persistence) = &wanted.traffic.session_persistence else { return Ok(String::new()) };
    if wanted.listeners.iter().all(|listen| listen.certificate.is_none()) {
        return Ok(String::new());
    }
    let cookie = name("traffic.sessionPersistence.cookie", &persistence.cookie)?;
    Ok(format!(
        "    http-after-response replace-header Set-Cookie '^({cookie}(-draw)?=.*)$' '\\1; Secure' if {{ ssl_fc }}\n"
    ))
}

fn priorities(traffic: &Traffic) -> Result<String, ConfigError> {
    if traffic.priorities.is_empty() {
        return Ok(String::new());
    }
    let mut text =
        String::from("    # Lower classes leave the queue first; requests without one are of class 0.\n");
    let mut rules = Vec::new();
    for (number, priority) in traffic.priorities.iter().enumerate() {
        let mut conditions = String::new();
        for (acl, test) in tests(number, &priority.match_)? {
            // Named, because a value of `}` would end an anonymous ACL.
            let _ = writeln!(text, "    acl {acl} {test}");
            let _ = write!(conditions, " {acl}");
        }
        let class = class(priority.criticality);
        rules.push(format!("    http-request set-priority-class int({class}) if{conditions}\n"));
    }
    text += "    # The last matching rule wins, so the order of the spec is reversed.\n";
    rules.reverse();
    Ok(text + &rules.concat())
}

/// ACLs that must all match, with their names.
fn tests(number: usize, request: &RequestMatch) -> Result<Vec<(String, String)>, ConfigError> {
    let field = format!("traffic.priorities[{number}].match");
    let mut tests = Vec::new();
    if let Some(prefix) = &request.path_prefix {
        let prefix = quoted(&format!("{field}.pathPrefix"), prefix)?;
        tests.push((format!("priority_{number}_path"), format!("path -m beg -- {prefix}")));
    }
    if let Some(header) = &request.header {
        let key = name(&format!("{field}.header.name"), &header.name)?;
        let value = quoted(&format!("{field}.header.value"), &header.value)?;
        tests.push((format!("priority_{number}_header"), format!("req.fhdr({key}) -m str -- {value}")));
    }
    Ok(tests)
}

/// A request that matches no rule is Critical, which is HAProxy's default class 0.
fn class(criticality: Criticality) -> i32 {
    match criticality {
        Criticality::CriticalPlus => -1,
        Criticality::Critical => 0,
        Criticality::SheddablePlus => 1,
        Criticality::Sheddable => 2,
    }
}
