//! nginx.conf, from what is wanted. Pure.
//!
//! Request bodies are streamed (`proxy_request_buffering off`), so a slow client holds a connection to a replica until its body
//! is complete; a pause of more than 10 s ends the request (`client_body_timeout`). Other clients are not held up by it:
//! connections to a replica have no limit here. `limits.connectionsPerReplica` is refused with NGINX, whose `max_conns`
//! answers 502 to what is above instead of letting it wait (`queue` is not in the open-source version).

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use super::{access_log, headers, listener::listener, paths::Paths, standbys::standbys};
use crate::balancer::{
    Capacity, ConfigError, OWN_PORTS, TLS12_CIPHERS, Wanted,
    text::{name, path},
};
use crate::fingerprint::fingerprint;
use plimsoll_api::{Algorithm, RetryOn, Traffic};

/// Where it is told what is served, on the address of the agent alone.
pub(super) const STRUCTURE: &str = "/plimsoll/structure";
/// Where connections and requests are counted, there too.
pub(super) const COUNTERS: &str = "/plimsoll/counters";
/// Stands before the name of the pod behind each server.
const POD: &str = "; # ";

/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The whole file.
    pub text: String,
    /// Stands for everything that a process must be reloaded for, the contents of certificates included. NGINX tells it
    /// when it is asked what it serves.
    pub structure: String,
}

impl Config {
    /// What NGINX should run for `wanted`, with certificates whose contents `certificates` stands for.
    ///
    /// # Errors
    /// A text of the spec can't be written into it, or two ports are the same. The CRD's rules let neither through.
    pub fn of(wanted: &Wanted, paths: &Paths, certificates: &str) -> Result<Self, ConfigError> {
        ports_differ(wanted, paths)?;
        let structure = fingerprint(&(sections(wanted, paths, "")? + certificates));
        let (namespace, service) = &wanted.service;
        let text = format!(
            "# NGINX in front of {}/{}. Plimsoll writes this file anew whenever something changes.\n\
             # generation {}, structure {structure}\n\n{}",
            name("the namespace", namespace)?,
            name("the service", service)?,
            wanted.generation,
            sections(wanted, paths, &structure)?,
        );
        Ok(Self { text, structure })
    }
}

/// The structure of a file that this module wrote.
#[must_use]
pub fn structure_of(text: &str) -> Option<&str> {
    text.lines().nth(1)?.split_once(", structure ").map(|(_, structure)| structure)
}

/// The pods that a file that this module wrote sends requests to.
#[must_use]
pub fn pods_of(text: &str) -> BTreeSet<String> {
    let server = |line: &str| {
        let line = line.strip_prefix("        server ")?;
        line.split_once(POD).map(|(_, pod)| pod.to_owned())
    };
    text.lines().filter_map(server).collect()
}

/// The ports that clients connect to, of a file that this module wrote.
#[must_use]
pub fn ports_of(text: &str) -> BTreeSet<u16> {
    let port = |line: &str| {
        let (_, listen) = line.split_once("listen ")?;
        let address = listen.split([' ', ';']).next()?;
        address.rsplit_once(':')?.1.parse().ok()
    };
    let clients = text.split("\n    # What NGINX tells").next().unwrap_or_default();
    clients.lines().filter_map(port).collect()
}

fn ports_differ(wanted: &Wanted, paths: &Paths) -> Result<(), ConfigError> {
    let mut seen: BTreeSet<u16> = OWN_PORTS.chain([paths.health, paths.own.port()]).collect();
    let twice = wanted.listeners.iter().map(|listen| listen.port).find(|port| !seen.insert(*port));
    twice.map_or(Ok(()), |port| Err(ConfigError::SamePort(port)))
}

fn sections(wanted: &Wanted, paths: &Paths, structure: &str) -> Result<String, ConfigError> {
    let mut text = process(wanted, paths)?;
    text += "\nhttp {\n";
    text += &access_log::format(&wanted.traffic);
    text += &defaults(wanted, &paths.folder_text()?);
    text += &headers::of(&wanted.traffic)?;
    text += &upstream(wanted)?;
    text += &standbys(wanted)?;
    for listen in &wanted.listeners {
        text += &listener(wanted, paths, listen, structure)?;
    }
    text += &own(paths, structure);
    text += "}\n";
    Ok(text)
}

fn process(wanted: &Wanted, paths: &Paths) -> Result<String, ConfigError> {
    let pid = paths.pid.display().to_string();
    // Workers of a configuration before must not cut what a replica that is drained could still finish.
    let shutdown = Duration::from(wanted.traffic.drain.timeout).max(Duration::from_secs(1));
    let Capacity { threads, connections, .. } = wanted.resources.capacity();
    // A request has two, its client's and its replica's. Each worker has its part: idle clients of all workers together must
    // fit into the memory, and `limit_conn` does not count them.
    let sockets = (2 * connections).div_ceil(threads) + Capacity::RESERVED;
    Ok(format!(
        "daemon off;
pid {};
error_log stderr warn;
# Made of the pod's resources; each reload doubles the workers for as long as the old ones have to finish.
worker_processes {threads};
worker_rlimit_nofile {};
# Workers of a configuration before may take so long for what they have.
worker_shutdown_timeout {};

events {{
    worker_connections {sockets};
}}
",
        path("the path of the process id", &pid)?,
        (2 * sockets).min(wanted.resources.descriptors),
        time(shutdown),
    ))
}

fn defaults(wanted: &Wanted, folder: &str) -> String {
    let answer = time(wanted.traffic.timeouts.backend_request.into());
    let mut text = format!(
        "    server_tokens off;
    # Nothing is kept on a disk: what comes is passed on as it comes, in both directions.
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_max_temp_file_size 0;

    client_header_timeout 10s;
    keepalive_timeout 75s;
    # A client that opens streams and resets them (CVE-2023-44487) has to connect anew after so many.
    keepalive_requests 1000;
    client_body_timeout 10s;
    send_timeout {answer};
    proxy_connect_timeout 3s;
    proxy_send_timeout {answer};
    proxy_read_timeout {answer};

    # Requests of all connections together; a stream of HTTP/2 whose answer the client does not read keeps buffers.
    limit_conn_zone clients zone=requests:64k;
    limit_conn_status 503;
    # A line for each refused request would be another attack.
    limit_conn_log_level info;
    http2_max_concurrent_streams {};
    http2_body_preread_size 16k;
    client_body_buffer_size 16k;

    # Connections to replicas are not kept: a replica that ends closes none under a request.
    proxy_http_version 1.1;
",
        wanted.resources.capacity().streams
    );
    text += &retries(&wanted.traffic);
    if wanted.listeners.iter().any(|listen| listen.certificate.is_some()) {
        let _ = write!(
            text,
            "
    ssl_protocols TLSv1.2 TLSv1.3;
    # Forward secrecy and authenticated encryption alone, as TLS 1.3 has it.
    ssl_ciphers {TLS12_CIPHERS};
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 1h;
"
        );
    }
    text
}

/// As NGINX reads it, in the larger unit that fits.
fn time(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn retries(traffic: &Traffic) -> String {
    let mut events = Vec::new();
    for (event, words) in [(RetryOn::EmptyResponse, "error timeout"), (RetryOn::Http503, "http_503")] {
        if traffic.retry_on().contains(&event) {
            events.push(words);
        }
    }
    let attempts = traffic.retries.attempts;
    if attempts == 0 || events.is_empty() {
        return "    proxy_next_upstream off;\n".to_owned();
    }
    format!(
        "    # What a replica may have begun is repeated only where that does no harm.
    proxy_next_upstream {};
    proxy_next_upstream_tries {};
",
        events.join(" "),
        attempts + 1
    )
}

fn upstream(wanted: &Wanted) -> Result<String, ConfigError> {
    let traffic = &wanted.traffic;
    let service = name("the service", &wanted.service.1)?;
    if wanted.ready().next().is_none() {
        return Ok(String::new());
    }
    let algorithm = match traffic.algorithm {
        Algorithm::RoundRobin => "",
        Algorithm::LeastConnections => "        least_conn;\n",
        Algorithm::RandomOfTwo => "        random two least_conn;\n",
        Algorithm::SourceHash => "        hash $remote_addr consistent;\n",
    };
    let passive = traffic.health_check.as_ref().and_then(|check| check.passive);
    let fails = match passive {
        Some(passive) => format!("max_fails={} fail_timeout=10s", passive.consecutive_errors),
        None => "max_fails=0".to_owned(),
    };
    let mut text = format!(
        "
    # Whom requests go to; who is drained is not here any more.
    upstream {service} {{
        zone {service} 4m;
{algorithm}"
    );
    for (pod, server) in wanted.ready() {
        let pod = name("the name of a pod", pod)?;
        let _ = writeln!(text, "        server {} {fails}{POD}{pod}", server.address);
    }
    Ok(text + "    }\n")
}

fn own(paths: &Paths, structure: &str) -> String {
    format!(
        "
    # What NGINX tells its agent and its supervisor.
    server {{
        listen {};
        access_log off;
        keepalive_timeout 0;
        location = {STRUCTURE} {{ return 200 \"{structure}\"; }}
        location = {COUNTERS} {{ stub_status; }}
        location / {{ return 404; }}
    }}
",
        paths.own,
    )
}
