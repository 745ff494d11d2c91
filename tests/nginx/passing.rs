//! Requests reach the replica unchanged, also while kept connections are being closed.

use std::{fs, time::Duration};

use plimsoll::balancer::ServerState::Ready;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    proxy::{Proxy, wanted},
    support::{Client, Reached as _, Replica, unused_address, upgrade::WEBSOCKET},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_replica_unchanged_also_while_kept_connections_are_closed() {
    let a = Replica::start("a", Duration::ZERO).await;
    let one = wanted(&json!({})).with([a.server(Ready)]);
    let proxy = Proxy::start(&one).await;
    let path = "/A%2fb//c/../d?x=%20&y";
    for leaving in [false, true] {
        if leaving {
            fs::write(proxy.paths.stopping(), "").unwrap();
        }
        let answer = Client::new(one.front()).get(path, &[]).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "a"));
        assert_eq!(answer.head.to_lowercase().contains("connection: close"), leaving, "{}", answer.head);
        let head = a.heads.lock().unwrap().last().unwrap().to_lowercase();
        assert!(head.starts_with("get /a%2fb//c/../d?x=%20&y http/1.1\r\n"), "{head}");
        assert!(head.contains("host: shop.example\r\n"), "{head}");
        assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
        assert!(head.contains("x-forwarded-proto: http\r\n"), "{head}");
    }
}

/// Answers with the body of the request.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                let end = got.windows(4).position(|window| window == b"\r\n\r\n");
                if let Some(end) = end {
                    let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
                    if head.contains("upgrade: websocket") {
                        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                        stream.write_all(switch.as_bytes()).await.unwrap();
                        let (mut from, mut to) = stream.split();
                        let _cut_is_fine = tokio::io::copy(&mut from, &mut to).await;
                        return;
                    }
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = length.unwrap().parse().unwrap();
                    if got.len() >= end + 4 + length {
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                        stream.write_all(head.as_bytes()).await.unwrap();
                        stream.write_all(&got[end + 4..]).await.unwrap();
                        return;
                    }
                }
                if stream.read_buf(&mut got).await.unwrap() == 0 {
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_websockets_pass_and_a_websocket_outlives_a_reload() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(echo(listener));
    let server = plimsoll::balancer::Server { address, state: Ready };
    let one = wanted(&json!({"drain": {"timeout": "20s"}})).with([("echo".to_owned(), server)]);
    let proxy = Proxy::start(&one).await;
    let body = "x".repeat(3 << 20);
    for leaving in [false, true] {
        if leaving {
            fs::write(proxy.paths.stopping(), "").unwrap();
        }
        let mut stream = TcpStream::connect(one.front()).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..60]);
        assert!(answer.ends_with(&body));
    }
    fs::remove_file(proxy.paths.stopping()).unwrap();
    let mut socket = TcpStream::connect(one.front()).await.unwrap();
    socket.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    let mut buffer = [0; 512];
    let read = socket.read(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..read]).starts_with("HTTP/1.1 101"));
    let mut changed = one.clone();
    changed.traffic.retries.attempts = 1;
    assert!(proxy.sync(&changed).await.reloaded);
    socket.write_all(b"still there?").await.unwrap();
    let read = socket.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..read], b"still there?");
    assert!(proxy.leaving().await > 0, "an old worker has the WebSocket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_connection_is_retried_on_another_replica_unless_retries_are_off() {
    let a = Replica::start("a", Duration::ZERO).await;
    let dead = Replica::start("dead", Duration::ZERO).await;
    let servers = [a.server(Ready), dead.server(Ready)];
    dead.die();
    for (attempts, lost) in [(1, false), (0, true)] {
        let both = wanted(&json!({"algorithm": "RoundRobin", "retries": {"attempts": attempts}}))
            .with(servers.clone());
        let _proxy = Proxy::start(&both).await;
        let mut bad = 0;
        for _ in 0..10 {
            bad += u32::from(Client::new(both.front()).get("/", &[]).await.unwrap().status != 200);
        }
        assert_eq!(bad > 0, lost, "{bad} of 10 failed with {attempts} attempts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_replica_may_have_begun_is_retried_only_if_idempotent() {
    let both = [Replica::start("a", Duration::ZERO).await, Replica::start("b", Duration::ZERO).await];
    let on = json!({"retries": {"attempts": 1, "retryOn": ["ConnectFailure", "EmptyResponse", "Http503"]}});
    let wanted = wanted(&on).with(both.each_ref().map(|replica| replica.server(Ready)));
    let _proxy = Proxy::start(&wanted).await;
    for (method, path, body, times) in [
        ("GET", "/hangup", "", 2),
        ("GET", "/503", "", 2),
        ("DELETE", "/hangup", "", 2),
        ("PUT", "/hangup", "stock=1", 2),
        ("POST", "/hangup", "", 1),
        ("POST", "/hangup", "order=1", 1),
        ("POST", "/503", "order=1", 1),
        ("PATCH", "/hangup", "order=1", 1),
    ] {
        let before: usize = both.iter().map(Replica::served).sum();
        Client::new(wanted.front()).request(method, path, &[], body).await.unwrap();
        let seen = both.iter().map(Replica::served).sum::<usize>() - before;
        assert_eq!(seen, times, "{method} {path} {body:?}");
    }
}
