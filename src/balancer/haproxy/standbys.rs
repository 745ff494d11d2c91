//! Standbys of `spec.failover` in haproxy.cfg, and the map with their shares.
//!
//! Each standby has its own backend, with the same limits, priorities, checks, retries and timeouts as the service's. A
//! number from 0 to 99 is drawn for each request, and the map has an upper bound for each standby: the first standby
//! whose bound is above the number gets the request. So a share is changed by one command. With a session cookie the
//! number is kept in a second cookie, so that a client moves once to a standby and once back, and not with each request
//! of a slow return. A client bound to a replica moves too when its number demands it, since a failing primary may
//! still answer.
//!
//! The draw fixes a request's backend. A request that then waits for the service itself, in its queue or at the gate,
//! or is retried because its replica has terminated, would never reach a standby. So each standby is also a server of
//! the service's backend, which gets requests only while the service has no share at all.
//!
//! A standby has a server for each of its addresses, in both backends. The number of servers is a power of two, so that
//! addresses are changed by commands, and few changes need a reload. Servers without an address are disabled.
//!
//! Nothing here decides on a switch: while the service has a share, its requests fail if no replica is left. The
//! controller decides, since only it knows the number of switches within the hour.

use std::{fmt::Write as _, net::SocketAddr};

use super::{
    backend::{GATE_COOKIE, backend, checks, retries},
    keywords::Keywords,
    paths::Paths,
};
use crate::balancer::{
    ConfigError, SERVER_HEADER, Standby, Wanted,
    text::{name, path},
};
use plimsoll_api::Percent;

/// Prefix of a standby's server in its own backend. No pod can have such a name, and another balancer recognizes by the
/// `_` that the request was sent to a standby ([`SERVER_HEADER`]).
const OWN: &str = "_standby_";
/// Prefix of a standby's server in the service's backend.
const INSTEAD: &str = "_instead_";
/// Address of a disabled server without a known address.
const NOWHERE: &str = "127.0.0.1:1";

/// Number of servers of a standby in each backend.
pub(super) fn slots(standby: &Standby) -> usize {
    standby.addresses.len().max(1).next_power_of_two()
}

/// Name of a server of a standby in its own backend.
pub(super) fn own(standby: &str, slot: usize) -> String {
    numbered(OWN, standby, slot)
}

/// Name of a server of a standby in the service's backend.
pub(super) fn instead(standby: &str, slot: usize) -> String {
    numbered(INSTEAD, standby, slot)
}

/// The name of a standby contains no `_`.
fn numbered(prefix: &str, standby: &str, slot: usize) -> String {
    if slot == 0 { format!("{prefix}{standby}") } else { format!("{prefix}{standby}_{}", slot + 1) }
}

/// Whether a server belongs to a standby.
pub(super) fn is_standby(server: &str) -> bool {
    server.starts_with(OWN) || server.starts_with(INSTEAD)
}

/// The backend of a server of `wanted`.
pub(super) fn backend_of(wanted: &Wanted, server: &str) -> String {
    match server.strip_prefix(OWN) {
        Some(standby) => {
            let standby = standby.split('_').next().unwrap_or(standby);
            format!("{}_{standby}", backend(wanted))
        }
        None => backend(wanted).to_owned(),
    }
}

/// Whether a backend belongs to a standby: the name of a service contains no `_`.
pub(super) fn is_standby_backend(backend: &str) -> bool {
    backend.contains('_')
}

/// The bound of each standby: it gets a request if the drawn number is below it and no earlier standby gets the
/// request.
pub(super) fn bounds(wanted: &Wanted) -> impl Iterator<Item = (&str, u8)> {
    wanted.shares().scan(0_u8, |below, (standby, share)| {
        *below += u8::from(share);
        Some((standby.name.as_str(), *below))
    })
}

/// Content of the map file; empty without standbys.
pub(super) fn map(wanted: &Wanted) -> Result<String, ConfigError> {
    if wanted.standbys.is_empty() {
        return Ok(String::new());
    }
    let mut text = String::from(
        "# A number from 0 to 99 is drawn for each request. The first standby with a greater number gets it.\n",
    );
    for (standby, below) in bounds(wanted) {
        let _ = writeln!(text, "{} {below}", name("the name of a standby", standby)?);
    }
    Ok(text)
}

/// Rule of a backend that adds the chosen server's name to each request. Only HAProxy knows it for a queued request.
pub(super) fn marker(wanted: &Wanted) -> String {
    if wanted.standbys.is_empty() {
        return String::new();
    }
    format!("    http-send-name-header {SERVER_HEADER}\n")
}

/// Frontend rules: the draw and the choice of a backend. A request from another balancer whose service failed over is
/// served by this service or refused.
pub(super) fn split(wanted: &Wanted, paths: &Paths) -> Result<String, ConfigError> {
    if wanted.standbys.is_empty() {
        return Ok(String::new());
    }
    let map = paths.shares.display().to_string();
    let map = path("the path of the map of shares", &map)?;
    let mut text = format!("    # The shares of the standbys are in {map}, and change at runtime.\n");
    text += &draw(wanted)?;
    text += "    acl was_sent_on var(txn.sent_on) -m bool\n";
    if let Some(last) = wanted.standbys.last() {
        let last = name("the name of a standby", &last.name)?;
        let _ = writeln!(text, "    acl nothing_is_left str({last}),map_str_int({map},0) ge 100");
    }
    text += "    http-request return status 508 if was_sent_on nothing_is_left\n";
    let mut uses = String::new();
    for standby in &wanted.standbys {
        let standby = name("the name of a standby", &standby.name)?;
        let _ = writeln!(
            text,
            "    acl goes_to_{standby} str({standby}),map_str_int({map},0),sub(txn.draw) gt 0"
        );
        let service = name("the service", backend(wanted))?;
        let _ = writeln!(uses, "    use_backend {service}_{standby} if goes_to_{standby} !was_sent_on");
    }
    Ok(text + &uses)
}

fn draw(wanted: &Wanted) -> Result<String, ConfigError> {
    let Some(persistence) = &wanted.traffic.session_persistence else {
        return Ok("    http-request set-var(txn.draw) rand(100)\n".to_owned());
    };
    let cookie = name("traffic.sessionPersistence.cookie", &persistence.cookie)?;
    Ok(format!(
        "    # A client keeps its number, so that it moves once to a standby and once back.
    acl has_draw req.cook({cookie}-draw) -m reg ^[0-9]{{1,2}}$
    http-request set-var(txn.draw) req.cook({cookie}-draw),add(0) if has_draw
    http-request set-var(txn.draw) rand(100) if !has_draw
    http-request set-var(txn.drawn) bool(true) if !has_draw
    http-request replace-header Cookie '^(.*;\\s*)?{cookie}-draw=[^;]*(;\\s*(.*))?$' '\\1\\3'
    http-response add-header Set-Cookie '{cookie}-draw=%[var(txn.draw)]; path=/; HttpOnly; SameSite=Lax' if {{ var(txn.drawn) -m bool }}
"
    ))
}

/// The backends of all standbys; without servers for the fingerprint of the structure.
pub(super) fn backends(wanted: &Wanted, with_servers: bool) -> Result<Vec<String>, ConfigError> {
    let backend = |standby: &Standby| -> Result<String, ConfigError> {
        let service = name("the service", backend(wanted))?;
        let standby_name = name("the name of a standby", &standby.name)?;
        let mut text = format!("backend {service}_{standby_name}\n");
        text += &retries(&wanted.traffic);
        text += &marker(wanted);
        text += &checks(wanted)?;
        let _ = writeln!(
            text,
            "    default-server{}{}",
            Keywords::of_standby(&wanted.traffic),
            tls(wanted, standby)?
        );
        if !with_servers {
            // Only the number of servers belongs to the structure: a server that does not exist can't be given an
            // address.
            if slots(standby) > 1 {
                let _ = writeln!(text, "    # {} servers", slots(standby));
            }
            return Ok(text);
        }
        for slot in 0..slots(standby) {
            let (server, address) = (own(standby_name, slot), address(standby, slot));
            let maxconn = maxconn(wanted, standby);
            let off = if slot < standby.addresses.len() { "" } else { " disabled" };
            let _ = writeln!(text, "    server {server} {address}{maxconn}{off}");
        }
        Ok(text)
    };
    wanted.standbys.iter().map(backend).collect()
}

/// Servers of standbys in the service's backend: they take the waiting requests once standbys get all requests.
pub(super) fn waiting(wanted: &Wanted, with_servers: bool) -> Result<String, ConfigError> {
    if wanted.standbys.is_empty() || !with_servers {
        return Ok(String::new());
    }
    let mut text = String::from("    # Once standbys get all requests, they also get those waiting here.\n");
    let all = wanted.primary_share() == Percent::ZERO;
    let cookie = if wanted.traffic.session_persistence.is_some() {
        format!(" cookie {GATE_COOKIE}")
    } else {
        String::new()
    };
    for (standby, share) in wanted.shares() {
        let (maxconn, tls) = (maxconn(wanted, standby), tls(wanted, standby)?);
        let standby_name = name("the name of a standby", &standby.name)?;
        for slot in 0..slots(standby) {
            let (server, address) = (instead(standby_name, slot), address(standby, slot));
            let on = all && share > Percent::ZERO && slot < standby.addresses.len();
            let off = if on { "" } else { " disabled" };
            let _ =
                writeln!(text, "    server {server} {address}{maxconn}{tls} pool-max-conn 0{cookie}{off}");
        }
    }
    Ok(text)
}

/// Requests and health checks need a valid certificate of the standby. The file of authorities is named after its
/// content, so that a new content changes the structure.
fn tls(wanted: &Wanted, standby: &Standby) -> Result<String, ConfigError> {
    let Some((hostname, authorities)) = wanted.proof(standby) else { return Ok(String::new()) };
    let host = name("the hostname of a standby", hostname)?;
    let file = authorities.display().to_string();
    let file = path("the path of authorities", &file)?;
    Ok(format!(" ssl verify required ca-file {file} sni str({host}) verifyhost {host} check-sni {host}"))
}

fn address(standby: &Standby, slot: usize) -> String {
    standby.addresses.get(slot).map_or_else(|| NOWHERE.to_owned(), SocketAddr::to_string)
}

fn maxconn(wanted: &Wanted, standby: &Standby) -> String {
    wanted.connections_to(standby).map(|most| format!(" maxconn {most}")).unwrap_or_default()
}
