//! The access log: JSON lines of the requests that the spec selects.

use std::time::Duration;

use plimsoll::balancer::ServerState::Ready;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    Balancer, Client, Reached as _, Replica,
    access_log::{self, STRANGE, json_lines},
    eventually, p256, self_signed, wanted,
};

/// Sends a request to each path with `accessLog: which`. Returns the log lines once there is one for the path `last`;
/// without `last`, immediately.
async fn logged(which: &str, paths: &[&str], last: Option<&str>) -> Vec<Value> {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let wanted = wanted(json!({"accessLog": which})).with([replica.server(Ready)]);
    let balancer = Balancer::start(&wanted).await;
    let mut client = Client::new(wanted.front());
    for path in paths {
        client.get(path, &[]).await.unwrap();
    }
    access_log::lines(|| balancer.log(), &replica, last).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_a_json_line_without_the_query_for_any_path() {
    let lines = logged("All", &[STRANGE, "/503"], Some("/503")).await;
    assert_eq!(lines.len(), 2);
    let line = &lines[0];
    assert_eq!((&line["path"], &line["response_code"]), (&json!("/a\"b\\c]"), &json!(200)));
    assert_eq!((&line["method"], &line["authority"]), (&json!("GET"), &json!("shop.example")));
    assert_eq!(line["downstream_remote_address"], json!("127.0.0.1"));
    assert_eq!(
        (&line["upstream_cluster"], &line["upstream_host"]),
        (&json!("checkout"), &json!("checkout-0"))
    );
    assert!(line["duration_ms"].is_i64() && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
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
async fn a_failed_tls_handshake_is_logged_as_an_error() {
    let balancer = Balancer::new();
    let (pem, key) = self_signed("shop.example", &["shop.example"], &p256());
    let file = balancer.folder.join("shop-tls.pem");
    std::fs::write(&file, format!("{pem}{key}")).unwrap();
    let mut wanted = wanted(json!({"accessLog": "Errors"}));
    wanted.listeners[0].certificate = Some(file);
    let balancer = balancer.run(&wanted).await;
    let mut stream = TcpStream::connect(wanted.front()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await.unwrap();
    let _cut_is_fine = stream.read_to_end(&mut Vec::new()).await;
    let lines = || async { Some(json_lines(&balancer.log())).filter(|lines| !lines.is_empty()) };
    let lines = eventually("a line", lines).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["downstream_remote_address"], json!("127.0.0.1"));
    assert_eq!(lines[0]["error"], json!("SSL handshake failure"));
    assert!(lines[0]["tls_error"].as_str().unwrap().contains("http request"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_refuses_connections_is_named_in_the_errors() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let check = json!({"interval": "100ms", "rise": 1, "fall": 1});
    let more = json!({"accessLog": "Errors", "healthCheck": check, "retries": {"attempts": 0}});
    let wanted = wanted(more).with([replica.server(Ready)]);
    let balancer = Balancer::start(&wanted).await;
    replica.die();
    let mut client = Client::new(wanted.front());
    while client.get("/", &[]).await.unwrap().status != 503 {}
    let down = || async {
        let log = balancer.log();
        let line = log.lines().find(|line| line.contains("Server checkout/checkout-0 is DOWN"))?;
        Some(line.to_owned())
    };
    let line = eventually("HAProxy reports the replica as down", down).await;
    assert!(line.contains("Connection refused"), "{line}");
    let failed =
        || async { json_lines(&balancer.log()).into_iter().find(|line| line["response_code"] == 503) };
    assert_eq!(eventually("the failed request", failed).await["upstream_cluster"], json!("checkout"));
}
