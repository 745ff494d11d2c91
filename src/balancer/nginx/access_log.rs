//! The access log: a line of JSON on standard output for each request, with Envoy's field names where they exist.

use plimsoll_api::{AccessLog, Traffic};

/// `escape=json` escapes text from clients. The query of a path is left out, since it may contain secrets.
const FORMAT: &str = r#"
    map $request_uri $path_of_request {
        "~^(?<path_without_query>[^?]*)" $path_without_query;
    }
    # As a valid JSON number: a request without a response has status 000.
    map $status $response_code {
        ~^0 0;
        default $status;
    }
    log_format requests escape=json '{"time":"$time_iso8601","x_request_id":"$id_of_request",'
        '"downstream_remote_address":"$remote_addr","method":"$request_method","authority":"$http_host",'
        '"path":"$path_of_request","response_code":$response_code,"bytes_received":$request_length,'
        '"bytes_sent":$bytes_sent,"duration_seconds":$request_time,"upstream_host":"$upstream_addr"}';
"#;

/// The log format and the selection of logged requests.
pub(super) fn format(traffic: &Traffic) -> String {
    let which = match traffic.access_log {
        AccessLog::Off => return "    access_log off;\n".to_owned(),
        AccessLog::Errors => {
            "    map $status $is_logged {
        ~^5 1;
        default 0;
    }
    access_log /dev/stdout requests if=$is_logged;
"
        }
        AccessLog::Sampled => {
            "    split_clients $request_id $is_sampled {
        1% yes;
        * no;
    }
    map \"$status $is_sampled\" $is_logged {
        ~^5 1;
        \"~ yes$\" 1;
        default 0;
    }
    access_log /dev/stdout requests if=$is_logged;
"
        }
        AccessLog::All => "    access_log /dev/stdout requests;\n",
    };
    format!("{FORMAT}{which}")
}
