//! The access log: JSON lines of the requests that the spec selects.

use std::time::Duration;

use plimsoll::balancer::ServerState::Ready;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, wanted},
    support::{
        Client, Reached as _, Replica,
        access_log::{self, STRANGE, json_lines},
        eventually,
    },
};

/// Sends a request to each of the paths; returns the log lines once there is one of `last`.
async fn logged(which: &str, paths: &[&str], last: Option<&str>) -> Vec<Value> {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let wanted = wanted(&json!({"accessLog": which})).with([replica.server(Ready)]);
    let proxy = Proxy::start(&wanted).await;
    let mut client = Client::new(wanted.front());
    for path in paths {
        client.get(path, &[]).await.unwrap();
    }
    access_log::lines(|| proxy.log(), &replica, last).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_a_json_line_without_the_query_for_any_path() {
    let lines = logged("All", &[STRANGE, "/503"], Some("/503")).await;
    assert_eq!(lines.len(), 2);
    let line = &lines[0];
    assert_eq!((&line["path"], &line["response_code"]), (&json!("/a\"b\\c]"), &json!(200)));
    assert_eq!((&line["method"], &line["authority"]), (&json!("GET"), &json!("shop.example")));
    assert_eq!(line["downstream_remote_address"], json!("127.0.0.1"));
    assert!(line["duration_seconds"].is_f64() && line["upstream_host"].is_string(), "{line}");
    assert_eq!(lines[1]["response_code"], json!(503));
}

#[tokio::test(flavor = "multi_thread")]
async fn none_or_one_in_a_hundred_of_the_good_requests_is_logged() {
    let paths = [vec!["/"; 60], vec!["/503"]].concat();
    let errors = logged("Errors", &paths, Some("/503")).await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    // On average ten, and the error.
    let many = [vec!["/"; 1000], vec!["/503"]].concat();
    let sampled = logged("Sampled", &many, Some("/503")).await.len();
    assert!(1 < sampled && sampled < 40, "{sampled} lines");
    assert_eq!(logged("Off", &paths, None).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_refuses_connections_is_named_in_the_errors() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let wanted = wanted(&json!({"accessLog": "Errors"})).with([replica.server(Ready)]);
    let proxy = Proxy::start(&wanted).await;
    let address = replica.address;
    replica.die();
    let refused = || async {
        Client::new(wanted.front()).get("/", &[]).await.unwrap();
        let log = proxy.log();
        let mut errors = log.lines().filter(|line| line.contains("[error]"));
        errors.find(|line| line.contains("Connection refused")).map(str::to_owned)
    };
    let line = eventually("NGINX names the replica", refused).await;
    assert!(line.contains(&format!("upstream: \"http://{address}/\"")), "{line}");
    let failed = || async { json_lines(&proxy.log()).into_iter().find(|line| line["response_code"] == 502) };
    assert_eq!(eventually("the failed request", failed).await["upstream_host"], json!(address.to_string()));
}
