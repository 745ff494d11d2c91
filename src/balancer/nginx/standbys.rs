//! Standbys of `spec.failover` in nginx.conf: who gets which request.

use std::{fmt::Write as _, path::Path};

use crate::balancer::{
    ConfigError, SERVER_HEADER, Standby, Wanted,
    text::{name, path},
};
use plimsoll_api::Percent;

/// The variable that names who gets a request, where standbys get some.
pub(super) const BACKEND: &str = "$backend";
/// Its value where the request is the service's own and no replica is there.
pub(super) const NOBODY: &str = "nobody";

/// Its value where another balancer sent the request to a standby, and this service sends all of its own to one.
pub(super) const LOOP: &str = "_loop";

pub(super) fn shifts(wanted: &Wanted) -> bool {
    wanted.primary_share() < Percent::HUNDRED
}

/// Standbys that get requests, and who gets which. A share of nothing is not there, so that nothing is reloaded for it.
pub(super) fn standbys(wanted: &Wanted) -> Result<String, ConfigError> {
    if !shifts(wanted) {
        return Ok(format!("    proxy_set_header {SERVER_HEADER} '';\n"));
    }
    let service = name("the service", &wanted.service.1)?;
    let mut rest = if wanted.ready().next().is_none() { NOBODY.to_owned() } else { service.to_owned() };
    let own = if wanted.primary_share() == Percent::ZERO { LOOP.to_owned() } else { rest.clone() };
    let (mut upstreams, mut parts, mut names) = (String::new(), Vec::new(), String::new());
    for (standby, share) in wanted.shares().filter(|(_, share)| *share > Percent::ZERO) {
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
    # Of a hundred requests, drawn at random, standbys get so many.
    split_clients $request_id $drawn {{
{}        * {rest};
    }}
    # A request that another balancer sent to a standby is not sent on once more.
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
    Ok(text + &proofs(wanted)?)
}

/// The standbys that get requests and have to prove who they are, with what they are asked to prove it by.
pub(super) fn proven(wanted: &Wanted) -> Vec<(&Standby, &str, &Path)> {
    let shares = wanted.shares().filter(|(_, share)| *share > Percent::ZERO);
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
