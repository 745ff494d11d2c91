//! Malicious clients: they attack the balancer's memory and the forwarding rules. Each attack also runs against an NGINX
//! without the protection, and must succeed there.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    sync::Arc,
    time::Duration,
};

use plimsoll::balancer::{
    Driver, Listen, Resources, Server,
    ServerState::Ready,
    Wanted,
    nginx::{Config, Nginx},
};
use plimsoll_api::Percent;
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    proxy::{Proxy, wanted},
    supervisor::{Supervisor, health},
    support::{
        Client, Reached as _, Replica,
        balancer::free_port,
        eventually,
        http2::{flood, plain},
        memory, p256, self_signed,
        slow::{self, HALF_HANDSHAKE, HALF_HEAD},
        unused_address,
        upgrade::{
            CONNECT, NO_WEBSOCKETS, WEBSOCKET, answer, assert_only_websockets_outlive, stalls,
            upgrades_to_anything,
        },
        wait, without,
    },
};

const MEMORY: u64 = 64 << 20;
/// Resources of a balancer with this memory.
const SMALL: Resources = Resources { memory: MEMORY, cpus: NonZeroU32::MIN, descriptors: 65_536 };

/// Runs NGINX with a changed configuration.
async fn with(wanted: &Wanted, proxy: Proxy, change: impl Fn(&str) -> String) -> Proxy {
    let mut proxy = proxy;
    let text = Config::of(wanted, &proxy.paths, "").unwrap().text;
    fs::write(&proxy.paths.config, change(&text)).unwrap();
    proxy.spawn();
    eventually("NGINX serves", || async { proxy.driver.counters().await }).await;
    proxy
}

/// Writes a certificate for `shop.example` and its key; returns the file and the certificate.
fn certificate(folder: &Path) -> (Listen, String) {
    let (pem, key) = self_signed("shop.example", &["shop.example"], &p256());
    let file = folder.join("shop-tls.pem");
    fs::write(&file, format!("{pem}{key}")).unwrap();
    (Listen { port: free_port(), certificate: Some(file) }, pem)
}

/// A TLS connection for HTTP/2, of a client that trusts only this certificate.
fn over_tls(front: SocketAddr, trusted: &str) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("shop.example").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), plain(front).unwrap())
}

fn used(proxy: &Proxy) -> u64 {
    proxy.workers().into_iter().map(memory).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_unread_streams_fit_into_the_memory_and_the_health_check_still_answers() {
    let replica = Replica::start(&"x".repeat(64 << 10), Duration::ZERO).await;
    let server = Server { address: replica.address, state: Ready };
    // The folder is deleted with its NGINX.
    let folder = tempfile::tempdir().unwrap();
    let (listen, pem) = certificate(folder.path());
    let wanted = wanted(&json!({})).with([("checkout-0".to_owned(), server)]);
    let wanted = Wanted { resources: SMALL, listeners: vec![listen], ..wanted };
    let front = wanted.front();
    let most = SMALL.capacity().connections;

    let proxy = Proxy::start(&wanted).await;
    let mut attackers = Vec::new();
    let mut opened = 0;
    while opened < most + 50 {
        let mut attacker = over_tls(front, &pem);
        opened += flood(&mut attacker, 100).unwrap();
        attackers.push(attacker);
    }
    assert!(attackers.len() > 20, "{} connections were enough", attackers.len());
    let open = || async { (replica.served() as u32 >= most).then_some(()) };
    eventually("requests are accepted up to the limit", open).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(replica.served() as u32 <= most, "{} of {opened}", replica.served());
    assert!(proxy.driver.counters().await.is_some(), "the query of the health check is answered");
    let usage = proxy.driver.usage().await.unwrap();
    assert!(
        usage.requests == Some(Percent::HUNDRED) && usage.connections < Percent::new(20),
        "the usage must show that it is full: {usage:?}"
    );
    println!("{opened} streams of {} connections: {} KiB", attackers.len(), used(&proxy) >> 10);
    assert!(used(&proxy) < MEMORY / 2, "{} bytes", used(&proxy));
    drop((attackers, proxy));

    let control = Proxy::new();
    let before = replica.served();
    let control = with(&wanted, control, |text| {
        let text = without(&without(text, "http2_max_concurrent_streams"), "limit_conn requests");
        text.replace("worker_connections 596", "worker_connections 16384")
            .replace("worker_rlimit_nofile 1192", "worker_rlimit_nofile 16384")
    })
    .await;
    let mut attackers = Vec::new();
    for _ in 0..45 {
        let mut attacker = over_tls(front, &pem);
        assert!(flood(&mut attacker, 100).unwrap() == 100);
        attackers.push(attacker);
    }
    let taken = || async { (replica.served() - before > 4 * most as usize).then_some(()) };
    eventually("without limits many more are accepted", taken).await;
    eventually("and the memory is not enough", || async { (used(&control) > MEMORY).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_with_unfinished_request_heads_the_health_check_still_answers() {
    let replicas = Replica::several(2, Duration::ZERO).await;
    let folder = tempfile::tempdir().unwrap();
    let mut wanted = Wanted { resources: SMALL, ..wanted(&json!({})).with([replicas[0].server(Ready)]) };
    wanted.listeners.push(certificate(folder.path()).0);
    let over_tls = (Ipv4Addr::LOCALHOST, wanted.listeners[1].port).into();
    let proxy = Proxy::new();
    let driver = Driver::Nginx(Nginx::supervised(proxy.paths.clone()));
    assert!(driver.sync(&wanted).await.unwrap_err().is_down());
    let _supervisor = Supervisor::start(&proxy);
    eventually("NGINX serves", || async { driver.sync(&wanted).await.ok() }).await;
    assert_eq!(health(&proxy).await, "HTTP/1.1 200 OK");
    // More connections than the supervisor serves at a time.
    let at_health = slow::connections((Ipv4Addr::LOCALHOST, proxy.paths.health).into(), 100, HALF_HEAD);
    for _ in 0..20 {
        wait(50).await;
        assert_eq!(health(&proxy).await, "HTTP/1.1 200 OK");
    }
    drop(at_health);

    // `worker_connections` is 596.
    let attackers = [(wanted.front(), HALF_HEAD), (over_tls, HALF_HANDSHAKE)]
        .map(|(front, beginning)| slow::connections(front, 400, beginning));
    // Control: a health check that NGINX itself answers would fail.
    let is_full = || async {
        for _ in 0..5 {
            if driver.counters().await.is_some() {
                return None;
            }
        }
        Some(())
    };
    eventually("clients have every connection", is_full).await;
    assert_eq!(health(&proxy).await, "HTTP/1.1 200 OK");
    assert_eq!(driver.usage().await.unwrap().connections, Some(Percent::HUNDRED));
    assert!(!driver.sync(&wanted).await.unwrap().reloaded, "the served configuration is known");

    let other = wanted.with([replicas[1].server(Ready)]);
    let outcome = driver.sync(&other).await.unwrap();
    assert!(outcome.reloaded && outcome.in_sync, "{outcome:#?}");
    drop(attackers);
    let served = || async { Client::new(wanted.front()).get("/", &[]).await.ok() };
    assert_eq!(eventually("new workers serve", served).await.body, "checkout-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_only_a_websocket_opens_a_tunnel() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), state: Ready };
    tokio::spawn(upgrades_to_anything(listener));
    let wanted = wanted(&json!({})).with([("checkout-0".to_owned(), server)]);
    let front = wanted.front();
    let proxy = Proxy::start(&wanted).await;
    for head in NO_WEBSOCKETS {
        let (_stream, got) = answer(front, head).await;
        let served = got.starts_with("http/1.1 200")
            && !got.contains("upgrade: ")
            && !got.contains("http2-settings: ");
        assert!(served || got.starts_with("http/1.1 400"), "{head}\n{got}");
    }
    assert!(answer(front, CONNECT).await.1.starts_with("http/1.1 40"));
    let (mut stream, got) = answer(front, WEBSOCKET).await;
    assert!(got.starts_with("http/1.1 101"), "{got}");
    stream.write_all(b"frames").await.unwrap();
    let mut echoed = [0; 6];
    timeout(Duration::from_secs(5), stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"frames");
    drop((proxy, stream));

    let _control = with(&wanted, Proxy::new(), |text| {
        text.replace("proxy_set_header Upgrade $upgrade_to;", "proxy_set_header Upgrade $http_upgrade;")
            .replace(
                "proxy_set_header Connection $connection_to_replica;",
                "proxy_set_header Connection upgrade;",
            )
    })
    .await;
    let (_stream, got) = answer(front, NO_WEBSOCKETS[0]).await;
    assert!(got.starts_with("http/1.1 101"), "without the rule a tunnel is open: {got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a_stalled_request_for_h2c_ends_by_the_request_timeout() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), state: Ready };
    tokio::spawn(stalls(listener));
    let short = wanted(&json!({"timeouts": {"backendRequest": "1s"}}));
    let short = short.with([("checkout-0".to_owned(), server)]);
    let _proxy = Proxy::start(&short).await;
    assert_only_websockets_outlive(short.front(), Duration::from_secs(1)).await;
}

/// A client that resets its streams (CVE-2023-44487) has to reconnect after this number of requests.
#[tokio::test(flavor = "multi_thread")]
async fn abuse_a_connection_ends_after_a_thousand_requests() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let wanted = wanted(&json!({})).with([replica.server(Ready)]);
    let _proxy = Proxy::start(&wanted).await;
    let mut stream = TcpStream::connect(wanted.front()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    for number in 1..=1000 {
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\ncheckout-0") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "request {number}");
        }
    }
    let _closed_is_fine = stream.write_all(request).await;
    let mut rest = Vec::new();
    let _cut_is_fine = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("a close");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(replica.served(), 1000);
}
