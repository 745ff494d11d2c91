//! A certificate that is replaced twenty times under TLS load.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use plimsoll::balancer::{CertificateChange, ServerState::Ready};
use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};

use crate::{
    RUNS,
    figures::{percentiles, spread},
    shop::{Load, Replicas},
    support::{Balancer, Reached as _, p256, pki::parameters, wait, wanted},
};

const RATE: u32 = 200;
const CHANGES: usize = 20;
/// Requests per connection, by the name of the figures: a change could lose new handshakes.
const CONNECTIONS: [(&str, u32); 2] = [("tenRequestsAConnection", 10), ("fresh", 1)];

pub async fn measure(shop: &Path) -> Value {
    let folder = std::env::temp_dir().join(format!("plimsoll-traffic-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new(&folder);
    let pairs: Vec<_> = (0..=CHANGES).map(|_| authority.pair()).collect();
    let mut figures = json!({
        "change": format!("certificate and key replaced {CHANGES} times"),
        "load": format!("{RATE} requests/s over TLS, open loop"),
    });
    for (name, per_connection) in CONNECTIONS {
        let (mut lost, mut served, mut control) = (vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let run = run(shop, &authority, &pairs, per_connection, &pairs[0]).await;
            lost.push(run.0);
            served.extend(run.1);
            // Control: a certificate of an untrusted authority; the clients must reject it.
            let strange = Authority::new(&folder.join("strange")).pair();
            control.push(self::run(shop, &authority, &pairs[..1], per_connection, &strange).await.0);
        }
        figures[name] = json!({
            "lost": spread(&lost),
            "fileToServed_ms": percentiles(&served),
            "controlUntrusted_lost": spread(&control),
        });
    }
    fs::remove_dir_all(&folder).unwrap();
    figures
}

/// Certificate and key, and the authority.
struct Pair {
    certificate: String,
    key: String,
    authority: CertificateDer<'static>,
}

/// Requests that were lost, and how long each certificate took to be served.
async fn run(
    shop: &Path,
    authority: &Authority,
    pairs: &[Pair],
    per_connection: u32,
    last: &Pair,
) -> (u64, Vec<Duration>) {
    let replicas = Replicas::start(shop, "checkout", 3, 10).await;
    let mut balancer = Balancer::new();
    let file = balancer.folder.join("shop-tls.pem");
    let mut wanted = wanted(json!({})).with(replicas.servers(Ready));
    wanted.listeners[0].certificate = Some(file.clone());
    balancer.driver.set_certificate(&file, &pairs[0].certificate, &pairs[0].key).await.unwrap();
    assert!(balancer.driver.sync(&wanted).await.unwrap_err().is_down());
    balancer.spawn();
    balancer.up().await;
    let front = wanted.front();
    let ca = authority.file.display().to_string();
    let tls = ["--ca", &ca, "--server-name", "shop.example"];
    let load = Load::start(shop, &format!("https://{front}/"), RATE, per_connection, &tls);
    wait(500).await;
    let mut served = Vec::new();
    for pair in pairs[1..].iter().chain([last]) {
        let begin = Instant::now();
        let change = balancer.driver.set_certificate(&file, &pair.certificate, &pair.key).await.unwrap();
        assert_eq!(change, CertificateChange::Swapped);
        // Blocks a thread of the runtime briefly; the load is a separate process.
        while !serves(front, pair) {
            assert!(begin.elapsed() < Duration::from_secs(10), "the new certificate is not served");
        }
        served.push(begin.elapsed());
        wait(100).await;
    }
    // Long enough for connections to end and new ones to begin.
    wait(700).await;
    (load.finish().await.lost(), served)
}

/// Whether a new connection gets this certificate.
fn serves(front: SocketAddr, pair: &Pair) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(pair.authority.clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = std::net::TcpStream::connect(front).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // A certificate of another authority is rejected here.
    drop(connection.complete_io(&mut socket));
    let wanted = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    connection.peer_certificates().is_some_and(|chain| chain.first() == Some(&wanted))
}

struct Authority {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mut parameters = parameters("bench", &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = p256();
        let file = folder.join("ca.crt");
        fs::write(&file, parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { file, issuer: Issuer::new(parameters, key) }
    }

    fn pair(&self) -> Pair {
        let key = p256();
        let certificate =
            parameters("shop.example", &["shop.example"]).signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: CertificateDer::from_pem_file(&self.file).unwrap(),
        }
    }
}
