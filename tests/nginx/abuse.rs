//! Clients that mean harm: to the memory of the balancer, and around its rules. Each attack is also made on an NGINX without what
//! holds it off, and must succeed there.

use std::{fs, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use plimsoll::balancer::{Resources, Server, ServerState::Ready, Wanted, nginx::Config};
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use crate::{
    proxy::{Proxy, wanted},
    support::{
        Reached as _, Replica, eventually,
        http2::{flood, plain},
        memory, p256, self_signed, unused_address,
        upgrade::{CONNECT, NO_WEBSOCKETS, WEBSOCKET, answer, upgrades_to_anything},
        without,
    },
};

const MEMORY: u64 = 64 << 20;

/// Runs it with another text than the driver's.
async fn with(wanted: &Wanted, proxy: Proxy, change: impl Fn(&str) -> String) -> Proxy {
    let mut proxy = proxy;
    let text = Config::of(wanted, &proxy.paths, "").unwrap().text;
    fs::write(&proxy.paths.config, change(&text)).unwrap();
    proxy.spawn();
    eventually("NGINX serves", || async { proxy.driver.counters().await }).await;
    proxy
}

/// A connection over TLS for HTTP/2, of a client that trusts only this certificate.
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
async fn abuse_streams_whose_answers_nobody_reads_fit_into_the_memory_and_leave_the_health_check_alone() {
    let replica = Replica::start(&"x".repeat(64 << 10), Duration::ZERO).await;
    let server = Server { address: replica.address, state: Ready };
    let resources = Resources { memory: MEMORY, cpus: NonZeroU32::MIN, ..Resources::default() };
    let proxy = Proxy::new();
    // The folder of an NGINX goes with it.
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = self_signed("shop.example", &["shop.example"], &p256());
    let file = folder.path().join("shop-tls.pem");
    fs::write(&file, format!("{pem}{key}")).unwrap();
    let mut wanted = Wanted { resources, ..wanted(&json!({})).with([("checkout-0".to_owned(), server)]) };
    wanted.listeners[0].certificate = Some(file);
    let front = wanted.front();
    let most = resources.capacity().connections;

    let proxy = proxy.run(&wanted).await;
    let mut attackers = Vec::new();
    let mut opened = 0;
    while opened < most + 50 {
        let mut attacker = over_tls(front, &pem);
        opened += flood(&mut attacker, 100).unwrap();
        attackers.push(attacker);
    }
    assert!(attackers.len() > 20, "{} connections were enough", attackers.len());
    let open = || async { (replica.served() as u32 >= most).then_some(()) };
    eventually("as many requests are taken as there may be", open).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(replica.served() as u32 <= most, "{} of {opened}", replica.served());
    let own = ([127, 0, 0, 1], proxy.paths.health).into();
    let mut health = tokio::net::TcpStream::connect::<SocketAddr>(own).await.unwrap();
    health.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut said = String::new();
    health.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
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
    eventually("without limits many more are taken", taken).await;
    eventually("and the memory is not enough", || async { (used(&control) > MEMORY).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_nothing_but_a_websocket_opens_a_tunnel() {
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
