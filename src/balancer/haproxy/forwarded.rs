//! Headers that identify the client. Values from clients are replaced; values from trusted proxies are passed on.

use std::fmt::Write as _;

use crate::balancer::{ConfigError, SERVER_HEADER, text::path};
use plimsoll_api::Traffic;

/// Rules for trusted proxies, which may begin a connection with the PROXY protocol. At this point `src` is the peer of
/// the connection; in later rules it is the client that the PROXY protocol names.
pub(super) fn proxies(traffic: &Traffic) -> Result<String, ConfigError> {
    let mut text = String::new();
    // One ACL per network, since a line is limited to 64 words.
    for network in &traffic.trusted_proxies {
        let _ = writeln!(text, "    acl trusted_proxy src {}", path("traffic.trustedProxies", network)?);
    }
    if traffic.proxy_protocol && !traffic.trusted_proxies.is_empty() {
        text += "    tcp-request connection expect-proxy layer4 if trusted_proxy\n";
    }
    Ok(text)
}

/// The headers that identify the client, and the request ID.
pub(super) fn headers(traffic: &Traffic) -> String {
    let trusted = !traffic.trusted_proxies.is_empty();
    let unless = if trusted { " unless trusted_proxy" } else { "" };
    let mut text = String::from("    # Only the balancer or a trusted proxy identifies the client.\n");
    for header in ["Forwarded", "X-Real-IP", "X-Forwarded- -m beg"] {
        let _ = writeln!(text, "    http-request del-header {header}{unless}");
    }
    // CGI and WSGI servers read `X_Real_IP` as `X-Real-IP`.
    for header in ["X_Forwarded_ -m beg", "X_Real_IP", "X_Request_Id"] {
        let _ = writeln!(text, "    http-request del-header {header}");
    }
    if trusted {
        text += "    http-request del-header X-Forwarded-Proto unless { req.fhdr(x-forwarded-proto) -i -m str http https }
    http-request del-header X-Request-Id unless trusted_proxy { req.fhdr(x-request-id) -m reg ^[A-Za-z0-9._-]{1,128}$ }
";
    } else {
        text += "    http-request del-header X-Request-Id\n";
    }
    let _ = write!(
        text,
        "    option forwardfor
    acl has_proto req.hdr(x-forwarded-proto) -m found
    http-request set-header X-Forwarded-Proto https if !has_proto {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto http if !has_proto
    http-request set-header X-Forwarded-Host %[req.fhdr(host)] unless {{ req.hdr(x-forwarded-host) -m found }}
    http-request set-header X-Real-IP %[src] unless {{ req.hdr(x-real-ip) -m found }}
    http-request set-header X-Request-Id %[uuid()] unless {{ req.hdr(x-request-id) -m found }}
    # A request that another balancer sent to a standby is not sent to a standby again.
    http-request set-var(txn.sent_on) bool(true) if {{ req.fhdr({SERVER_HEADER}) -m beg _ }}
    http-request del-header {SERVER_HEADER}
"
    );
    text
}
