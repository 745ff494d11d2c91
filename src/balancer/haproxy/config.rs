//! haproxy.cfg, from what is wanted. Pure.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use super::{
    backend::{GATE, GATE_COOKIE, attempts, backend, checks, cookie_key, retries},
    frontend::{addresses, frontend},
    keywords::Keywords,
    paths::Paths,
    quote::quoted,
    standbys,
};
use crate::balancer::{
    Capacity, ConfigError, OWN_PORTS, Server, ServerState, TLS12_CIPHERS, Wanted, text::name,
};
use crate::fingerprint::fingerprint;
use plimsoll_api::{Algorithm, RetryOn};

/// Within this time after a reload or a stop the connections of idle clients are closed, one after the other.
pub(super) const CLOSING_MAX: Duration = Duration::from_secs(5);
/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The whole file.
    pub text: String,
    /// Stands for everything but the servers: while it is the same, no reload is needed.
    pub structure: String,
    /// The map with the standbys' shares; empty without standbys, and then no file is needed.
    pub shares: String,
}

impl Config {
    /// What HAProxy should run for `wanted`.
    ///
    /// # Errors
    /// A text of the spec can't be written into it, or two ports are the same. The CRD's rules let neither through.
    pub fn of(wanted: &Wanted, paths: &Paths) -> Result<Self, ConfigError> {
        ports_differ(wanted, paths)?;
        let structure = fingerprint(&sections(wanted, paths, "", false)?);
        let sections = sections(wanted, paths, &structure, true)?;
        let (namespace, service) = &wanted.service;
        let text = format!(
            "# HAProxy in front of {}/{}. Plimsoll writes this file anew whenever something changes.\n\
             # generation {}, structure {structure}\n\n{sections}",
            name("the namespace", namespace)?,
            name("the service", service)?,
            wanted.generation,
        );
        Ok(Self { text, structure, shares: standbys::map(wanted)? })
    }
}

/// The structure of a file that this module wrote.
#[must_use]
pub fn structure_of(text: &str) -> Option<&str> {
    text.lines().nth(1)?.split_once(", structure ").map(|(_, structure)| structure)
}

fn ports_differ(wanted: &Wanted, paths: &Paths) -> Result<(), ConfigError> {
    let mut seen: BTreeSet<u16> = OWN_PORTS.chain([paths.metrics]).collect();
    let twice = wanted.listeners.iter().map(|listen| listen.port).find(|port| !seen.insert(*port));
    twice.map_or(Ok(()), |port| Err(ConfigError::SamePort(port)))
}

fn sections(
    wanted: &Wanted,
    paths: &Paths,
    structure: &str,
    with_servers: bool,
) -> Result<String, ConfigError> {
    let mut parts = vec![
        global(wanted, paths, structure)?,
        defaults(wanted),
        frontend(wanted, paths)?,
        own(paths),
        service(wanted, with_servers)?,
    ];
    parts.extend(standbys::backends(wanted, with_servers)?);
    Ok(parts.join("\n"))
}

fn global(wanted: &Wanted, paths: &Paths, structure: &str) -> Result<String, ConfigError> {
    let admin = quoted("the path of the admin socket", &format!("unix@{}", paths.admin.display()))?;
    // A reload or a stop must not cut what a replica that is drained could still finish.
    let hard_stop = Duration::from(wanted.traffic.drain.timeout).max(Duration::from_secs(1));
    let spread = (hard_stop / 2).min(CLOSING_MAX);
    let Capacity { threads, connections, streams } = wanted.resources.capacity();
    let sockets = connections + Capacity::RESERVED;
    let mut text = format!(
        "global
    # `show info` tells by it what a process was started with.
    description structure={structure}
    stats socket {admin} mode 600 level admin expose-fd listeners
    # Made of the pod's resources. Those of clients are limited to {connections}; the rest is for health checks and metrics.
    nbthread {threads}
    maxconn {sockets}
    # A stream whose answer the client does not read keeps buffers, for as long as the client likes.
    tune.h2.max-concurrent-streams {streams}
    # Since 3.1 an upload may fill 1.6 MB for each connection.
    .if version_atleast(3.1)
        tune.h2.fe.rxbuf 65536
    .endif
    # After a reload or a stop, idle clients are told to go one after the other, and the rest may finish.
    close-spread-time {}ms
    hard-stop-after {}ms
",
        spread.as_millis(),
        hard_stop.as_millis(),
    );
    if wanted.listeners.iter().any(|listen| listen.certificate.is_some()) {
        let _ = write!(
            text,
            "    ssl-default-bind-options ssl-min-ver TLSv1.2
    # Forward secrecy and authenticated encryption alone, as TLS 1.3 has it.
    ssl-default-bind-ciphers {TLS12_CIPHERS}
"
        );
    }
    Ok(text)
}

fn defaults(wanted: &Wanted) -> String {
    let traffic = &wanted.traffic;
    let queue = Duration::from(traffic.limits.queue_timeout).as_millis();
    let answer = Duration::from(traffic.timeouts.backend_request).as_millis();
    let longest = queue.max(answer);
    // Nobody answers from a node that is gone, and the next replica is tried; without that, a packet that got lost is
    // waited for (the kernel sends it again after a second).
    let connect = if attempts(traffic) > 0 && traffic.retry_on().contains(&RetryOn::ConnectFailure) {
        "1s"
    } else {
        "3s"
    };
    // The gate answers only when a replica is there: that may take as long as a request may wait.
    let (server, why) = match wanted.gate {
        Some(_) if queue > answer => {
            (queue, "    # No less than `timeout queue`: the gate answers when a replica is there.\n")
        }
        _ => (answer, ""),
    };
    // Without a limit there are no places to take, and a client may wait for an answer before it sends on.
    let whole = match traffic.limits.connections_per_replica {
        Some(_) => {
            "    # A body that does not come takes no place of a replica: a request is given to one once its body, or the first
    # 16 KiB of it, is there. `timeout http-request` is for that too.
    option http-buffer-request
"
        }
        None => "",
    };
    format!(
        "defaults
    mode http
    # A client that went away while its request waited costs no replica anything. It is the frontend that notices.
    option abortonclose
{whole}    timeout connect {connect}
    timeout http-request 10s
    timeout http-keep-alive 75s
    timeout client {longest}ms
    timeout queue {queue}ms
{why}    timeout server {server}ms
    # WebSockets: nothing else becomes a tunnel.
    timeout tunnel 1h
    timeout client-fin 30s
    timeout server-fin 30s
"
    )
}

/// What HAProxy tells of itself.
fn own(paths: &Paths) -> String {
    let binds: String = addresses(paths.listen, paths.metrics)
        .iter()
        .map(|address| format!("    bind {address}\n"))
        .collect();
    format!(
        "frontend metrics
{binds}    monitor-uri /healthz
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 404
"
    )
}

fn service(wanted: &Wanted, with_servers: bool) -> Result<String, ConfigError> {
    let traffic = &wanted.traffic;
    let balance = match traffic.algorithm {
        Algorithm::RoundRobin => "roundrobin",
        Algorithm::LeastConnections => "leastconn",
        Algorithm::RandomOfTwo => "random(2)",
        Algorithm::SourceHash => "source\n    hash-type consistent",
    };
    let mut text = format!("backend {}\n    balance {balance}\n", name("the service", backend(wanted))?);
    text += &retries(traffic);
    text += "    # A request that is with a node that is gone ends after 5 s, and not when a slow replica's would.
    option srvtcpka
    srvtcpka-idle 2s
    srvtcpka-intvl 1s
    srvtcpka-cnt 3
";
    text += &standbys::marker(wanted);
    text += &checks(wanted)?;
    text += &stickiness(wanted)?;
    if let Some(gate) = wanted.gate {
        let cookie = if traffic.session_persistence.is_some() { " cookie gate" } else { "" };
        let _ = write!(
            text,
            "    # Gets a request only when no replica can; the others then wait in the queue behind it. Without
    # `allbackups` they would wait for this server itself, and not for the first replica.
    option allbackups
    server {GATE} {gate} backup maxconn 1 pool-max-conn 0{cookie}
"
        );
    }
    text += &standbys::waiting(wanted, with_servers)?;
    let _ = writeln!(text, "    default-server{}", Keywords::of(traffic));
    if with_servers {
        text += &servers(wanted)?;
    }
    Ok(text)
}

fn stickiness(wanted: &Wanted) -> Result<String, ConfigError> {
    let Some(persistence) = &wanted.traffic.session_persistence else { return Ok(String::new()) };
    let cookie = name("traffic.sessionPersistence.cookie", &persistence.cookie)?;
    let key = cookie_key(wanted);
    let key = name("namespace and service", &key)?;
    let mut text = format!(
        "    # Made of each replica's address and the key: the same on every balancer.
    cookie {cookie} insert indirect nocache httponly attr SameSite=Lax dynamic
    dynamic-cookie-key {key}
"
    );
    if wanted.gate.is_some() || !wanted.standbys.is_empty() {
        let pattern = quoted("the cookie", &format!(r"^(.*;\s*)?{cookie}={GATE_COOKIE}(;\s*(.*))?$"))?;
        let _ = writeln!(
            text,
            "    # Nobody is bound to what is no replica.\n    http-request replace-header Cookie {pattern} '\\1\\3'"
        );
    }
    Ok(text)
}

fn servers(wanted: &Wanted) -> Result<String, ConfigError> {
    let maxconn = wanted.connections_per_server().map(|most| format!(" maxconn {most}")).unwrap_or_default();
    let mut text = String::new();
    for (pod, Server { address, state }) in &wanted.servers {
        let pod = name("the name of a pod", pod)?;
        // Weight 0 is how a file says `drain`.
        let drain = if *state == ServerState::Drain { " weight 0" } else { "" };
        let _ = writeln!(text, "    server {pod} {address}{maxconn}{drain}");
    }
    Ok(text)
}
