//! The access log: one line of JSON on standard output for each request, with Envoy's field names where they exist.
//! HAProxy's messages about its servers go to standard error in any case.

use plimsoll_api::{AccessLog, Traffic};

/// Text from clients is escaped; the rest is numbers, addresses and names of servers.
const LINE: &str = r#"{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","x_request_id":"%[var(txn.id),json(utf8s)]","downstream_remote_address":"%ci","method":"%[var(txn.method),json(utf8s)]","authority":"%[var(txn.authority),json(utf8s)]","path":"%[var(txn.path),json(utf8s)]","response_code":%ST,"response_flags":"%ts","bytes_received":%U,"bytes_sent":%B,"queued_ms":%Tw,"duration_ms":%Ta,"upstream_cluster":"%b","upstream_host":"%s"}"#;
/// For a connection without a request, such as a failed TLS handshake.
const ERROR_LINE: &str = r#"{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","downstream_remote_address":"%ci","error":"%[fc_err_str,json(utf8s)]","tls_error":"%[ssl_fc_err_str,json(utf8s)]"}"#;

/// Rules of the frontend, placed after those that set the request ID. The query of a path is left out, since it may
/// contain secrets.
pub(super) fn rules(traffic: &Traffic) -> String {
    let which = match traffic.access_log {
        AccessLog::Off => return String::new(),
        AccessLog::Errors => "    option dontlog-normal\n",
        AccessLog::Sampled => {
            "    http-response set-log-level silent if { status lt 500 } !{ rand(100) -m int lt 1 }\n"
        }
        AccessLog::All => "",
    };
    format!(
        "    log stdout len 8192 format raw local0 info
    log-format '{LINE}'
    error-log-format '{ERROR_LINE}'
    option dontlognull
    http-request set-var(txn.id) req.fhdr(x-request-id)
    http-request set-var(txn.method) method
    http-request set-var(txn.authority) req.fhdr(host)
    http-request set-var(txn.path) path
{which}"
    )
}
