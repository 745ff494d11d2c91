//! Malicious clients: they attack the balancer's memory, a replica's connection slots, and the forwarding rules. Each attack
//! also runs against a HAProxy without the protection, and must succeed there.

use std::{
    fs,
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    sync::Arc,
    time::Duration,
};

use plimsoll::balancer::{Capacity, Listen, Resources, Server, ServerState::Ready, Wanted, haproxy::Config};
use plimsoll_api::Percent;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::support::{
    Balancer, Client, Reached as _, Replica,
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
    wait, wanted, without,
};

const MEMORY: u64 = 64 << 20;
/// Resources of a balancer with this memory.
const SMALL: Resources = Resources { memory: MEMORY, cpus: NonZeroU32::MIN, descriptors: 65_536 };

/// Runs HAProxy with a changed configuration.
async fn with(wanted: &Wanted, change: impl Fn(&str) -> String) -> Balancer {
    let mut balancer = Balancer::new();
    let text = Config::of(wanted, balancer.driver.paths()).unwrap().text;
    fs::write(&balancer.driver.paths().config, change(&text)).unwrap();
    balancer.spawn();
    balancer.up().await;
    balancer
}

/// Whether the health check answers in time.
async fn is_healthy(balancer: &Balancer) -> bool {
    let own = (Ipv4Addr::LOCALHOST, balancer.driver.paths().metrics).into();
    let mut client = Client::new(own);
    let answer = timeout(Duration::from_secs(2), client.get("/healthz", &[])).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
}

/// Writes a certificate for `shop.example` and its key; returns the file and the certificate.
fn certificate(folder: &Path) -> (Listen, String) {
    let (pem, key) = self_signed("shop.example", &["shop.example"], &p256());
    let file = folder.join("shop-tls.pem");
    fs::write(&file, format!("{pem}{key}")).unwrap();
    (Listen { port: free_port(), certificate: Some(file) }, pem)
}

/// Opens this number of TLS connections, each with one request, until they are dropped.
fn requests_over_tls(front: SocketAddr, trusted: &str, count: u32) -> JoinSet<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("shop.example").unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (connector, name) = (connector.clone(), name.clone());
        clients.spawn(async move {
            let stream = TcpStream::connect(front).await.unwrap();
            stream.set_zero_linger().unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            pending::<()>().await;
        });
    }
    clients
}

/// A replica whose answers fill a buffer.
async fn verbose() -> (Replica, (String, Server)) {
    let replica = Replica::start(&"x".repeat(64 << 10), Duration::ZERO).await;
    let server = Server { address: replica.address, state: Ready };
    (replica, ("checkout-0".to_owned(), server))
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_unread_streams_fit_into_the_memory_and_the_health_check_still_answers() {
    let (_replica, server) = verbose().await;
    let wanted = Wanted { resources: SMALL, ..wanted(json!({})).with([server]) };
    let front = wanted.front();
    let most = SMALL.capacity().connections;

    let balancer = Balancer::start(&wanted).await;
    let mut attackers = Vec::new();
    let mut opened = 0;
    while opened < most + 50 {
        let mut attacker = plain(front).unwrap();
        opened += flood(&mut attacker, 100).unwrap();
        attackers.push(attacker);
    }
    assert!(attackers.len() > 20, "{} connections were enough", attackers.len());
    eventually("no more requests are accepted", || async {
        (Client::new(front).get("/", &[]).await.unwrap().status == 503).then_some(())
    })
    .await;
    assert!(is_healthy(&balancer).await);
    let usage = balancer.driver.usage().await.unwrap();
    assert!(
        usage.requests == Some(Percent::HUNDRED) && usage.connections < Percent::new(20),
        "the usage must show that it is full: {usage:?}"
    );
    let used = memory(balancer.driver.epoch().await.unwrap().pid);
    println!("{opened} streams of {} connections: {} KiB", attackers.len(), used >> 10);
    assert!(used < MEMORY / 2, "{used} bytes");
    drop(attackers);
    eventually("it serves again", || async {
        (Client::new(front).get("/", &[]).await.unwrap().status == 200).then_some(())
    })
    .await;
    drop(balancer);

    let balancer = with(&wanted, |text| {
        let text =
            without(&without(text, "tune.h2.max-concurrent-streams"), "http-request return status 503");
        text.replace("\n    maxconn 426\n", "\n    maxconn 4000\n")
    })
    .await;
    let mut attackers = Vec::new();
    for _ in 0..30 {
        let mut attacker = plain(front).unwrap();
        assert_eq!(flood(&mut attacker, 100).unwrap(), 100);
        attackers.push(attacker);
    }
    let pid = balancer.driver.epoch().await.unwrap().pid;
    eventually("without limits the memory is not enough", || async { (memory(pid) > MEMORY).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_queued_requests_over_tls_fit_into_the_memory() {
    let hangs = Replica::start("checkout-0", Duration::from_secs(60)).await;
    let folder = tempfile::tempdir().unwrap();
    let (listen, pem) = certificate(folder.path());
    let limits = json!({"limits": {"connectionsPerReplica": 1, "queueTimeout": "60s"}});
    let wanted =
        Wanted { resources: SMALL, listeners: vec![listen], ..wanted(limits).with([hangs.server(Ready)]) };
    let most = SMALL.capacity().connections;

    let balancer = Balancer::start(&wanted).await;
    let attackers = requests_over_tls(wanted.front(), &pem, most + 80);
    eventually("all but the served request are queued", || async {
        (balancer.driver.observe().await.unwrap().queued >= most - 1).then_some(())
    })
    .await;
    assert!(is_healthy(&balancer).await);
    let used = memory(balancer.driver.epoch().await.unwrap().pid);
    println!("{most} queued requests over TLS: {} KiB", used >> 10);
    // HAProxy 3.2 with OpenSSL 3.5 needs more for each request than 2.6.
    assert!(used < MEMORY / 4 * 3, "{used} bytes");
    drop((attackers, balancer));

    let balancer = with(&wanted, |text| {
        let text = without(text, "http-request return status 503");
        text.replace("\n    maxconn 426\n", "\n    maxconn 4000\n")
            .replace("\n    maxconn 170\n", "\n    maxconn 4000\n")
    })
    .await;
    let _attackers = requests_over_tls(wanted.front(), &pem, 2000);
    let pid = balancer.driver.epoch().await.unwrap().pid;
    eventually("without limits the memory is not enough", || async { (memory(pid) > MEMORY).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_with_unfinished_request_heads_the_health_check_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut wanted = Wanted { resources: SMALL, ..wanted(json!({})) };
    wanted.listeners.push(certificate(folder.path()).0);
    let over_tls = (Ipv4Addr::LOCALHOST, wanted.listeners[1].port).into();
    // More than all sockets of the process, including those for health checks.
    let attack = || {
        [(wanted.front(), HALF_HEAD), (over_tls, HALF_HANDSHAKE)]
            .map(|(front, beginning)| slow::connections(front, 300, beginning))
    };
    let balancer = Balancer::start(&wanted).await;
    let attackers = attack();
    let most = u64::from(SMALL.capacity().connections);
    eventually("clients have all connections that the limit allows", || async {
        (balancer.driver.clients().await.unwrap().now == most).then_some(())
    })
    .await;
    assert!(is_healthy(&balancer).await);
    drop((attackers, balancer));

    let balancer = with(&wanted, |text| without(text, "    maxconn 170")).await;
    let _attackers = attack();
    eventually("clients have every socket", || async {
        let all = most + u64::from(Capacity::RESERVED);
        (balancer.driver.clients().await.unwrap().now == all).then_some(())
    })
    .await;
    assert!(!is_healthy(&balancer).await, "without the frontend's limit the health check gets no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_only_a_websocket_opens_a_tunnel() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), state: Ready };
    tokio::spawn(upgrades_to_anything(listener));
    let wanted = wanted(json!({})).with([("checkout-0".to_owned(), server)]);
    let front = wanted.front();
    let balancer = Balancer::start(&wanted).await;
    for head in NO_WEBSOCKETS {
        let (_stream, got) = answer(front, head).await;
        let served = got.starts_with("http/1.1 200")
            && !got.contains("upgrade: ")
            && !got.contains("http2-settings: ");
        // Since 3.0 HAProxy itself removes `h2c` from a list, and a WebSocket remains.
        let was_listed = head.contains("h2c") && head.contains("websocket");
        let of_websocket = was_listed && got.contains("\nupgrade: websocket\r\n");
        assert!(served || of_websocket || got.starts_with("http/1.1 400"), "{head}\n{got}");
    }
    assert!(answer(front, CONNECT).await.1.starts_with("http/1.1 405"));
    let (mut stream, got) = answer(front, WEBSOCKET).await;
    assert!(got.starts_with("http/1.1 101"), "{got}");
    stream.write_all(b"frames").await.unwrap();
    let mut echoed = [0; 6];
    timeout(Duration::from_secs(5), stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"frames");
    drop((balancer, stream));

    let _balancer = with(&wanted, |text| without(text, "http-request del-header Upgrade")).await;
    // Not with h2c: HAProxy 3 never opens a tunnel for it.
    let (_stream, got) = answer(front, NO_WEBSOCKETS[1]).await;
    assert!(got.starts_with("http/1.1 101"), "without the rule a tunnel is open: {got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a_stalled_request_for_h2c_ends_by_the_request_timeout() {
    let listener = TcpListener::bind(unused_address()).await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), state: Ready };
    tokio::spawn(stalls(listener));
    let short = wanted(json!({"timeouts": {"backendRequest": "1s"}}));
    let short = short.with([("checkout-0".to_owned(), server)]);
    let _balancer = Balancer::start(&short).await;
    assert_only_websockets_outlive(short.front(), Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_missing_bodies_use_no_connection_slot_of_a_replica() {
    // It takes a head for a whole request, which uses a slot while the replica works on it.
    let replica = Replica::start("a", Duration::from_secs(5)).await;
    let limited = wanted(json!({"limits": {"connectionsPerReplica": 2}})).with([replica.server(Ready)]);
    let front = limited.front();
    let slow = || async {
        let mut slow = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(front).await.unwrap();
            let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nsome";
            stream.write_all(head.as_bytes()).await.unwrap();
            slow.push(stream);
        }
        wait(200).await;
        slow
    };
    let honest = || async { timeout(Duration::from_secs(1), Client::new(front).get("/1ms", &[])).await };
    let balancer = Balancer::start(&limited).await;
    let attackers = slow().await;
    assert_eq!(honest().await.expect("an immediate answer").unwrap().status, 200);
    assert_eq!(replica.served(), 1, "the other requests have not reached it");
    drop((balancer, attackers));

    let _balancer = with(&limited, |text| without(text, "option http-buffer-request")).await;
    let _attackers = slow().await;
    assert!(honest().await.is_err(), "without the option the slots are used");
}
