//! Standbys of `spec.failover` in nginx.conf, and the choice of a backend for each request.

use std::{fmt::Write as _, path::Path};

use crate::balancer::{
    ConfigError, SERVER_HEADER, Standby, Wanted,
    text::{name, path},
};
use plimsoll_api::Percent;

/// Variable with the backend of a request; defined only if standbys have a share.
pub(super) const BACKEND: &str = "$backend";
/// Its value if the service itself should get the request but has no ready replica.
pub(super) const NO_REPLICA: &str = "none";

/// Its value if another balancer sent the request to a standby, and this service sends all of its own requests to standbys.
pub(super) const LOOP: &str = "_loop";

pub(super) fn shifts(wanted: &Wanted) -> bool {
    wanted.primary_share() < Percent::HUNDRED
}

/// The upstreams of standbys and the choice of a backend. A standby without a share is left out, so that it causes no reload.
pub(super) fn standbys(wanted: &Wanted) -> Result<String, ConfigError> {
    if !shifts(wanted) {
        return Ok(format!("    proxy_set_header {SERVER_HEADER} '';\n"));
    }
    let service = name("the service", &wanted.service.1)?;
    let mut rest = if wanted.ready().next().is_none() { NO_REPLICA.to_owned() } else { service.to_owned() };
    let own = if wanted.primary_share() == Percent::ZERO { LOOP.to_owned() } else { rest.clone() };
    let (mut upstreams, mut parts, mut names) = (String::new(), Vec::new(), String::new());
    for (standby, share) in wanted.shares().filter(|(_, share)| *share > Percent::ZERO) {
        // A single address is never taken out of rotation, since no other is left.
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
        let _ = writeln!(names, "        {upstream} _standby_{standby};");
        if wanted.primary_share() == Percent::ZERO {
            rest = upstream;
        }
    }
    if wanted.primary_share() == Percent::ZERO {
        parts.pop();
    }
    let text = format!(
        "{upstreams}
    # Percentage of requests that each standby gets, at random.
    split_clients $request_id $drawn {{
{}        * {rest};
    }}
    # A request that another balancer sent to a standby is not sent to a standby again.
    map $http_plimsoll_server {BACKEND} {{
        ~^_ {own};
        default $drawn;
    }}
    map {BACKEND} $server_name_to_standby {{
{names}        default '';
    }}
    proxy_set_header {SERVER_HEADER} $server_name_to_standby;
",
        parts.concat()
    );
    Ok(text + &verification(wanted)?)
}

/// The standbys with a share whose certificate is verified, each with its hostname and CA file.
pub(super) fn verified(wanted: &Wanted) -> Vec<(&Standby, &str, &Path)> {
    let shares = wanted.shares().filter(|(_, share)| *share > Percent::ZERO);
    shares
        .filter_map(|(standby, _)| wanted.proof(standby).map(|(host, file)| (standby, host, file)))
        .collect()
}

/// Verification of the certificates of standbys over TLS. They all share one CA file, which the spec's rules ensure.
fn verification(wanted: &Wanted) -> Result<String, ConfigError> {
    let verified = verified(wanted);
    let Some((_, _, authorities)) = verified.first() else { return Ok(String::new()) };
    let service = name("the service", &wanted.service.1)?;
    let (mut schemes, mut names) = (String::new(), String::new());
    for (standby, hostname, _) in &verified {
        let standby = name("the name of a standby", &standby.name)?;
        let _ = writeln!(schemes, "        {service}_{standby} https;");
        let _ =
            writeln!(names, "        {service}_{standby} {};", name("the hostname of a standby", hostname)?);
    }
    let file = authorities.display().to_string();
    Ok(format!(
        "
    # Over TLS, and only to a server whose certificate is valid for the standby.
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
