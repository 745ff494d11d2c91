//! Requests in flight and upgraded connections are finished.

use std::time::Duration;

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, unused_address, wanted};

/// Upgrades one connection and echoes its data.
async fn upgrades(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await.unwrap();
    assert!(String::from_utf8_lossy(&head[..read]).to_lowercase().contains("upgrade: websocket"));
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
}

async fn echo(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, text.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_outlives_drain_and_reload_and_keeps_its_replica_undrained() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let other = Replica::start("checkout-1", Duration::ZERO).await;
    let address = listener.local_addr().unwrap();
    let server = |state| ("checkout-0".to_owned(), plimsoll::balancer::Server { address, state });
    let replica = tokio::spawn(upgrades(listener));
    let empty = wanted(json!({}));
    let alone = empty.with([server(Ready)]);
    let balancer = Balancer::start(&alone).await;
    let mut stream = TcpStream::connect(empty.front()).await.unwrap();
    let request = "GET /chat HTTP/1.1\r\nhost: shop.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await.unwrap();
    assert!(head[..read].starts_with(b"HTTP/1.1 101"));
    echo(&mut stream, "one").await;

    let pods = ["checkout-0".to_owned()];
    let mut draining = empty.with([server(Drain), other.server(Ready)]);
    balancer.sync(&draining).await;
    assert!(balancer.driver.drained(&draining, &pods).await.unwrap().is_empty());
    assert_eq!(Client::new(empty.front()).get("/", &[]).await.unwrap().body, "checkout-1");
    echo(&mut stream, "two").await;
    draining.traffic.slow_start = Duration::from_secs(1).into();
    assert!(balancer.sync(&draining).await.reloaded);
    echo(&mut stream, "three").await;
    assert!(balancer.driver.drained(&draining, &pods).await.unwrap().is_empty(), "the old process has it");
    drop(stream);
    replica.await.unwrap();
    eventually("it is drained", || async {
        (!balancer.driver.drained(&draining, &pods).await.unwrap().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_not_drained_while_an_old_process_may_still_send_to_it() {
    let both = [Replica::start("a", Duration::ZERO).await, Replica::start("b", Duration::ZERO).await];
    let [a, b] = &both;
    let empty = wanted(json!({"algorithm": "RoundRobin", "drain": {"timeout": "4s"}}));
    let balancer = Balancer::start(&empty.with([a.server(Ready), b.server(Ready)])).await;
    let mut kept: Vec<Client> = Vec::new();
    for _ in 0..40 {
        let mut client = Client::new(empty.front());
        client.get("/", &[]).await.unwrap();
        kept.push(client);
    }
    let mut draining = empty.with([a.server(Drain), b.server(Ready)]);
    draining.traffic.slow_start = Duration::from_secs(1).into();
    assert!(balancer.sync(&draining).await.reloaded);
    let pods = ["a".to_owned()];
    let drained = || async { balancer.driver.drained(&draining, &pods).await.unwrap() };
    assert!(drained().await.is_empty(), "the old process does not drain it");
    let before = a.served();
    let (early, late) = kept.split_at_mut(20);
    for client in early {
        // Some are already closed, since the process ends.
        drop(client.get("/", &[]).await);
    }
    assert!(a.served() > before, "the old process sent it no request, so nothing is proven");
    eventually("it is drained", || async { (drained().await == pods).then_some(()) }).await;
    let before = a.served();
    for client in late {
        drop(client.get("/", &[]).await);
    }
    assert_eq!(a.served(), before, "it got a request after it was drained");
}
