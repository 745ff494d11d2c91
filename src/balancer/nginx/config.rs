//! nginx.conf, from what is wanted. Pure.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use super::paths::Paths;
use crate::{
    api::{Algorithm, RetryOn, Traffic},
    balancer::{
        ConfigError, Listen, OWN_PORTS, ServerState, Standby, Wanted,
        text::{fingerprint, name, path},
    },
};

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

/// The pods that are to get requests.
#[must_use]
pub fn ready(wanted: &Wanted) -> BTreeSet<String> {
    let ready = wanted.servers.iter().filter(|(_, server)| server.state == ServerState::Ready);
    ready.map(|(pod, _)| pod.clone()).collect()
}

fn ports_differ(wanted: &Wanted, paths: &Paths) -> Result<(), ConfigError> {
    let mut seen: BTreeSet<u16> = OWN_PORTS.chain([paths.health, paths.own.port()]).collect();
    let twice = wanted.listeners.iter().map(|listen| listen.port).find(|port| !seen.insert(*port));
    twice.map_or(Ok(()), |port| Err(ConfigError::SamePort(port)))
}

fn sections(wanted: &Wanted, paths: &Paths, structure: &str) -> Result<String, ConfigError> {
    let mut text = process(wanted, paths)?;
    text += "\nhttp {\n";
    text += &defaults(&wanted.traffic, &folder(paths)?);
    text += &upstream(wanted)?;
    text += &standbys(wanted)?;
    for listen in &wanted.listeners {
        text += &listener(wanted, paths, listen, structure)?;
    }
    text += &own(paths, structure);
    text += "}\n";
    Ok(text)
}

fn folder(paths: &Paths) -> Result<String, ConfigError> {
    let folder = paths.folder.display().to_string();
    path("the folder", &folder).map(ToOwned::to_owned)
}

fn process(wanted: &Wanted, paths: &Paths) -> Result<String, ConfigError> {
    let pid = paths.pid.display().to_string();
    // Workers of a configuration before must not cut what a replica that is drained could still finish.
    let shutdown = Duration::from(wanted.traffic.drain.timeout).max(Duration::from_secs(1));
    Ok(format!(
        "daemon off;
pid {};
error_log stderr warn;
# The more cores, the more balancers: each reload doubles the workers for as long as the old ones have to finish.
worker_processes 2;
worker_rlimit_nofile 16384;
# Workers of a configuration before may take so long for what they have.
worker_shutdown_timeout {};

events {{
    worker_connections 8192;
}}
",
        path("the path of the process id", &pid)?,
        time(shutdown),
    ))
}

fn defaults(traffic: &Traffic, folder: &str) -> String {
    let answer = time(traffic.timeouts.backend_request.into());
    let mut text = format!(
        "    access_log off;
    server_tokens off;
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
    keepalive_requests 100000;
    client_body_timeout {answer};
    send_timeout {answer};
    proxy_connect_timeout 3s;
    proxy_send_timeout {answer};
    proxy_read_timeout {answer};

    map $http_upgrade $connection_to_replica {{
        default upgrade;
        '' close;
    }}
    # Connections to replicas are not kept: a replica that ends closes none under a request.
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection $connection_to_replica;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
"
    );
    text += &retries(traffic);
    if traffic.listeners.iter().any(|listener| listener.tls.is_some()) {
        text += "
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 1h;
";
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
    if ready(wanted).is_empty() {
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
    for (pod, server) in wanted.servers.iter().filter(|(_, server)| server.state == ServerState::Ready) {
        let pod = name("the name of a pod", pod)?;
        let _ = writeln!(text, "        server {} {fails}{POD}{pod}", server.address);
    }
    Ok(text + "    }\n")
}

/// The variable that names who gets a request, where standbys get some.
const BACKEND: &str = "$backend";
/// Its value where the request is the service's own and no replica is there.
const NOBODY: &str = "nobody";

fn shifts(wanted: &Wanted) -> bool {
    wanted.primary_share() < 100
}

/// Standbys that get requests, and who gets which. A share of nothing is not there, so that nothing is reloaded for it.
fn standbys(wanted: &Wanted) -> Result<String, ConfigError> {
    if !shifts(wanted) {
        return Ok(String::new());
    }
    let service = name("the service", &wanted.service.1)?;
    let mut rest = if ready(wanted).is_empty() { NOBODY.to_owned() } else { service.to_owned() };
    let (mut upstreams, mut parts) = (String::new(), Vec::new());
    for (standby, share) in wanted.shares().filter(|(_, share)| *share > 0) {
        // A single one stays in whatever fails: nobody would be left.
        let fails = if standby.addresses.len() > 1 { "max_fails=1 fail_timeout=5s" } else { "max_fails=0" };
        let servers: String =
            standby.addresses.iter().map(|address| format!("        server {address} {fails};\n")).collect();
        let standby = name("the name of a standby", &standby.name)?;
        let upstream = format!("{service}_{standby}");
        let _ = write!(
            upstreams,
            "
    upstream {upstream} {{
{servers}    }}
"
        );
        parts.push(format!("        {share}% {upstream};\n"));
        if wanted.primary_share() == 0 {
            rest = upstream;
        }
    }
    if wanted.primary_share() == 0 {
        parts.pop();
    }
    let text = format!(
        "{upstreams}
    # Of a hundred requests, drawn at random, standbys get so many.
    split_clients $request_id {BACKEND} {{
{}        * {rest};
    }}
",
        parts.concat()
    );
    Ok(text + &proofs(wanted)?)
}

/// The standbys that get requests and have to prove who they are, with what they are asked to prove it by.
fn proven(wanted: &Wanted) -> Vec<(&Standby, &str, &Path)> {
    let shares = wanted.shares().filter(|(_, share)| *share > 0);
    shares
        .filter_map(|(standby, _)| wanted.proof(standby).map(|(host, file)| (standby, host, file)))
        .collect()
}

/// How standbys over TLS prove who they are. There is one list of authorities for all of them, as the spec's rules say.
fn proofs(wanted: &Wanted) -> Result<String, ConfigError> {
    let proven = proven(wanted);
    let Some((_, _, authorities)) = proven.first() else { return Ok(String::new()) };
    let service = name("the service", &wanted.service.1)?;
    let (mut schemes, mut names) = (String::new(), String::new());
    for (standby, hostname, _) in &proven {
        let standby = name("the name of a standby", &standby.name)?;
        let _ = writeln!(schemes, "        {service}_{standby} https;");
        let _ =
            writeln!(names, "        {service}_{standby} {};", name("the hostname of a standby", hostname)?);
    }
    let file = authorities.display().to_string();
    Ok(format!(
        "
    # Over TLS, and only to who proves by its certificate to be the standby.
    map {BACKEND} $backend_scheme {{
{schemes}        default http;
    }}
    map {BACKEND} $backend_name {{
{names}        default '';
    }}
    proxy_ssl_verify on;
    proxy_ssl_verify_depth 9;
    proxy_ssl_trusted_certificate {};
    proxy_ssl_server_name on;
    proxy_ssl_name $backend_name;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
",
        path("the path of authorities", &file)?
    ))
}

fn listener(wanted: &Wanted, paths: &Paths, listen: &Listen, structure: &str) -> Result<String, ConfigError> {
    let address = bound(paths.listen, listen.port);
    let mut text = String::from("\n    server {\n");
    match &listen.certificate {
        None => {
            let _ = writeln!(text, "        listen {address};");
        }
        Some(certificate) => {
            let file = certificate.display().to_string();
            let file = path("the path of a certificate", &file)?;
            let _ = write!(
                text,
                "        listen {address} ssl http2;
        ssl_certificate {file};
        ssl_certificate_key {file};
"
            );
        }
    }
    if ready(wanted).is_empty() && !shifts(wanted) {
        return Ok(text + "        location / {\n            return 503;\n        }\n    }\n");
    }
    let (service, folder) = (name("the service", &wanted.service.1)?, folder(paths)?);
    let to = if shifts(wanted) { BACKEND } else { service };
    let scheme = if proven(wanted).is_empty() { "http" } else { "$backend_scheme" };
    let nobody = if ready(wanted).is_empty() && wanted.primary_share() > 0 {
        format!("            if ({BACKEND} = {NOBODY}) {{ return 503; }}\n")
    } else {
        String::new()
    };
    let _ = write!(
        text,
        "        location / {{
            # Before these workers end, their clients are told with each answer to connect anew.
            error_page 418 = @leaving;
            error_page 419 = @upgraded;
{nobody}            if ($http_upgrade ~* ^websocket$) {{ return 419; }}
            if (-f {folder}/leaving-{structure}) {{ return 418; }}
            if (-f {folder}/stopping) {{ return 418; }}
            proxy_pass {scheme}://{to};
        }}
        location @leaving {{
            keepalive_timeout 0;
            proxy_pass {scheme}://{to};
        }}
        location @upgraded {{
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            proxy_pass {scheme}://{to};
        }}
    }}
"
    );
    Ok(text)
}

/// An unspecified IPv6 address takes IPv4 too.
fn bound(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V6(address) if address.is_unspecified() => format!("[::]:{port} ipv6only=off"),
        address => SocketAddr::new(address, port).to_string(),
    }
}

fn own(paths: &Paths, structure: &str) -> String {
    format!(
        "
    # What NGINX tells of itself: the kubelet whether it serves, its agent what.
    server {{
        listen {};
        keepalive_timeout 0;
        location = /healthz {{ return 200; }}
        location / {{ return 404; }}
    }}
    server {{
        listen {};
        keepalive_timeout 0;
        location = {STRUCTURE} {{ return 200 \"{structure}\"; }}
        location = {COUNTERS} {{ stub_status; }}
        location / {{ return 404; }}
    }}
",
        bound(paths.listen, paths.health),
        paths.own,
    )
}
