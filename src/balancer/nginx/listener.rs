//! The servers for clients in nginx.conf.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use super::{
    headers::UPGRADE,
    paths::Paths,
    standbys::{BACKEND, LOOP, NO_REPLICA, shifts, verified},
};
use crate::balancer::{
    ConfigError, Listen, Wanted,
    text::{name, path},
};
use plimsoll_api::Percent;

/// A server for one port.
pub(super) fn listener(
    wanted: &Wanted,
    paths: &Paths,
    listen: &Listen,
    structure: &str,
) -> Result<String, ConfigError> {
    let tls = if listen.certificate.is_some() { " ssl http2" } else { "" };
    let proxy = if wanted.traffic.proxy_protocol { " proxy_protocol" } else { "" };
    let mut text = String::from("\n    server {\n");
    text += &binds(paths.listen, listen.port, &format!("{tls}{proxy}"));
    let _ = writeln!(text, "        limit_conn requests {};", wanted.resources.capacity().connections);
    if let Some(certificate) = &listen.certificate {
        let file = certificate.display().to_string();
        let file = path("the path of a certificate", &file)?;
        let _ = writeln!(text, "        ssl_certificate {file};\n        ssl_certificate_key {file};");
    }
    if wanted.ready().next().is_none() && !shifts(wanted) {
        return Ok(text + "        location / {\n            return 503;\n        }\n    }\n");
    }
    let (service, folder) = (name("the service", &wanted.service.1)?, paths.folder_text()?);
    let to = if shifts(wanted) { BACKEND } else { service };
    let scheme = if verified(wanted).is_empty() { "http" } else { "$backend_scheme" };
    let refusal = if wanted.primary_share() == Percent::ZERO {
        format!("            if ({BACKEND} = {LOOP}) {{ return 508; }}\n")
    } else if wanted.ready().next().is_none() {
        format!("            if ({BACKEND} = {NO_REPLICA}) {{ return 503; }}\n")
    } else {
        String::new()
    };
    let _ = write!(
        text,
        "        location / {{
            # Before these workers exit, each response asks the client to reconnect.
            error_page 418 = @leaving;
            error_page 419 = @upgraded;
{refusal}            if ({UPGRADE}) {{ return 419; }}
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

/// The `listen` directives of a port. The unspecified IPv6 address includes IPv4, on a separate socket: on a shared one, the
/// address of an IPv4 client would be written as `::ffff:192.0.2.1`.
fn binds(address: IpAddr, port: u16, parameters: &str) -> String {
    match address {
        IpAddr::V6(address) if address.is_unspecified() => format!(
            "        listen 0.0.0.0:{port}{parameters};\n        listen [::]:{port}{parameters} ipv6only=on;\n"
        ),
        address => format!("        listen {}{parameters};\n", SocketAddr::new(address, port)),
    }
}
