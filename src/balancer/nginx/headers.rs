//! Headers that identify the client. Values from clients are replaced; values from trusted proxies are passed on.

use std::fmt::Write as _;

use crate::balancer::{ConfigError, text::path};
use plimsoll_api::Traffic;

/// Variable that is set for a WebSocket handshake, the only request that may turn its connection into a tunnel.
pub(super) const UPGRADE: &str = "$upgrade_to";

/// Headers that only a trusted proxy may send.
/// NGINX can't remove all headers with a prefix, so this list has those that servers and frameworks read.
const OF_PROXIES: [&str; 14] = [
    "Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Method",
    "X-Forwarded-Port",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
];

pub(super) fn of(traffic: &Traffic) -> Result<String, ConfigError> {
    let mut networks = String::new();
    let mut text = String::new();
    for network in &traffic.trusted_proxies {
        let network = path("traffic.trustedProxies", network)?;
        let _ = writeln!(networks, "        {network} 1;");
        if traffic.proxy_protocol {
            let _ = writeln!(text, "    set_real_ip_from {network};");
        }
    }
    if traffic.proxy_protocol {
        text += "    real_ip_header proxy_protocol;\n";
    }
    let _ = write!(
        text,
        r#"
    # Only a WebSocket (RFC 6455) may become a tunnel: rules do not apply inside one, and it delays draining.
    map "$request_method:$http_upgrade:$http_connection:$http_sec_websocket_key" {UPGRADE} {{
        "~*^GET:websocket:([^:]*,)?\s*upgrade\s*(,[^:]*)?:[A-Za-z0-9+/]{{22}}==$" websocket;
        default '';
    }}
    map {UPGRADE} $connection_to_replica {{
        default upgrade;
        '' close;
    }}
    # Only the balancer or a trusted proxy identifies the client.
    geo $trusted_proxy {{
{networks}    }}
    map $trusted_proxy $forwarded_for {{
        1 $proxy_add_x_forwarded_for;
        default $remote_addr;
    }}
    map "$trusted_proxy $http_x_forwarded_proto" $forwarded_proto {{
        "1 https" https;
        "1 http" http;
        default $scheme;
    }}
    map "$trusted_proxy $http_x_forwarded_host" $forwarded_host {{
        "~^1 (?<host_of_proxy>.+)$" $host_of_proxy;
        default $http_host;
    }}
    map "$trusted_proxy $http_x_real_ip" $real_ip {{
        "~^1 (?<client_of_proxy>.+)$" $client_of_proxy;
        default $remote_addr;
    }}
    map "$trusted_proxy $http_x_request_id" $id_of_request {{
        "~^1 (?<id_of_proxy>[A-Za-z0-9._-]{{1,128}})$" $id_of_proxy;
        default $request_id;
    }}
    proxy_headers_hash_max_size 1024;
    proxy_headers_hash_bucket_size 128;
    proxy_set_header Host $http_host;
    proxy_set_header Connection $connection_to_replica;
    proxy_set_header Upgrade {UPGRADE};
    proxy_set_header HTTP2-Settings '';
    proxy_set_header X-Forwarded-For $forwarded_for;
    proxy_set_header X-Forwarded-Proto $forwarded_proto;
    proxy_set_header X-Forwarded-Host $forwarded_host;
    proxy_set_header X-Real-IP $real_ip;
    proxy_set_header X-Request-Id $id_of_request;
"#
    );
    for header in OF_PROXIES {
        let variable = header.to_lowercase().replace('-', "_");
        let _ = write!(
            text,
            "    map $trusted_proxy $passed_{variable} {{
        1 $http_{variable};
        default '';
    }}
    proxy_set_header {header} $passed_{variable};
"
        );
    }
    Ok(text)
}
