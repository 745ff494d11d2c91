//! Standbys of `spec.failover` in haproxy.cfg, and the map with their shares.
//!
//! Each standby has a backend of its own, with the same limits, priorities, checks, retries and timeouts as the
//! service's. A number from 0 to 99 is drawn for each request, and the map says below which one a standby gets it; so a
//! share is changed by one command. With a session cookie the draw is kept in a second one, so that a client moves once
//! to a standby and once back, and not with each request of a slow return; whoever is bound to a replica leaves it when
//! it is its turn, since a failing primary may well answer.
//!
//! A request has its backend once it is drawn for. What then waits for the service itself, in its queue or at the gate,
//! or is sent again since its replica is gone, would never reach a standby; so each standby is a server of the
//! service's backend too, which gets requests only while no share at all is left to the service.
//!
//! A standby has a server for each of its addresses, in either backend. Their number is a power of two, so that addresses
//! come and go by commands, and few changes take a reload; servers without an address are disabled.
//!
//! Nothing is switched here: while the service has a share, its requests fail if no replica is left. The controller
//! decides, since only it knows how often was switched within the hour.

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

/// Stands before a standby's name in the name of the server in its own backend. No pod can be called so, and a balancer knows by
/// the `_` that another one sent a request to a standby ([`SERVER_HEADER`]).
const OWN: &str = "_standby_";
/// The same in the service's backend.
const INSTEAD: &str = "_instead_";
/// Of a server whose address is not known, and that is never used.
const NOWHERE: &str = "127.0.0.1:1";

/// Servers that a standby has in each backend.
pub(super) fn slots(standby: &Standby) -> usize {
    standby.addresses.len().max(1).next_power_of_two()
}

/// A server of a standby in its own backend.
pub(super) fn own(standby: &str, slot: usize) -> String {
    numbered(OWN, standby, slot)
}

/// A server of a standby in the service's backend.
pub(super) fn instead(standby: &str, slot: usize) -> String {
    numbered(INSTEAD, standby, slot)
}

/// A standby's name has no `_`.
fn numbered(prefix: &str, standby: &str, slot: usize) -> String {
    if slot == 0 { format!("{prefix}{standby}") } else { format!("{prefix}{standby}_{}", slot + 1) }
}

/// Whether a server is a standby's.
pub(super) fn is_standby(server: &str) -> bool {
    server.starts_with(OWN) || server.starts_with(INSTEAD)
}

/// The backend that a server of `wanted` is in.
pub(super) fn backend_of(wanted: &Wanted, server: &str) -> String {
    match server.strip_prefix(OWN) {
        Some(standby) => {
            let standby = standby.split('_').next().unwrap_or(standby);
            format!("{}_{standby}", backend(wanted))
        }
        None => backend(wanted).to_owned(),
    }
}

/// Whether a backend is a standby's: no service can be called so.
pub(super) fn is_standby_backend(backend: &str) -> bool {
    backend.contains('_')
}

/// Below which draw each standby gets a request, unless one before it does.
pub(super) fn bounds(wanted: &Wanted) -> impl Iterator<Item = (&str, u8)> {
    wanted.shares().scan(0_u8, |below, (standby, share)| {
        *below += u8::from(share);
        Some((standby.name.as_str(), *below))
    })
}

/// The map's file; empty without standbys.
pub(super) fn map(wanted: &Wanted) -> Result<String, ConfigError> {
    if wanted.standbys.is_empty() {
        return Ok(String::new());
    }
    let mut text = String::from(
        "# A number from 0 to 99 is drawn for each request: the first standby whose number is above gets it.\n",
    );
    for (standby, below) in bounds(wanted) {
        let _ = writeln!(text, "{} {below}", name("the name of a standby", standby)?);
    }
    Ok(text)
}

/// Of a backend: each request says which server it was given to. Only HAProxy itself knows that of one that has waited.
pub(super) fn marker(wanted: &Wanted) -> String {
    if wanted.standbys.is_empty() {
        return String::new();
    }
    format!("    http-send-name-header {SERVER_HEADER}\n")
}

/// Of the frontend: the draw, and who gets what. A request that comes from another balancer of a service that failed over is
/// served here, or by nobody.
pub(super) fn split(wanted: &Wanted, paths: &Paths) -> Result<String, ConfigError> {
    if wanted.standbys.is_empty() {
        return Ok(String::new());
    }
    let map = paths.shares.display().to_string();
    let map = path("the path of the map of shares", &map)?;
    let mut text =
        format!("    # Standbys get requests by the numbers in {map}, which change at any time.\n");
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
        "    # A client keeps its draw, so that it moves once to a standby and once back.
    acl has_draw req.cook({cookie}-draw) -m reg ^[0-9]{{1,2}}$
    http-request set-var(txn.draw) req.cook({cookie}-draw),add(0) if has_draw
    http-request set-var(txn.draw) rand(100) if !has_draw
    http-request set-var(txn.drawn) bool(true) if !has_draw
    http-request replace-header Cookie '^(.*;\\s*)?{cookie}-draw=[^;]*(;\\s*(.*))?$' '\\1\\3'
    http-response add-header Set-Cookie '{cookie}-draw=%[var(txn.draw)]; path=/; HttpOnly; SameSite=Lax' if {{ var(txn.drawn) -m bool }}
"
    ))
}

/// The backends of all standbys; without `servers` for what does not change at runtime.
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
            // Of the structure their number alone: one that is not there can't be moved.
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

/// Of the service's backend: the standbys that get what waits there once all requests are theirs.
pub(super) fn waiting(wanted: &Wanted, with_servers: bool) -> Result<String, ConfigError> {
    if wanted.standbys.is_empty() || !with_servers {
        return Ok(String::new());
    }
    let mut text = String::from("    # Once standbys get all requests, they get those too that wait here.\n");
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

/// Only who proves by its certificate to be the standby gets a request, or passes a check. The authorities' file has
/// another name when they change, and so is the structure another one.
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
