//! A certificate that is replaced twenty times under TLS load.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use plimsoll::balancer::{CertificateChange, ServerState::Ready};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};

use crate::{
    RUNS,
    figures::{percentiles, spread},
    shop::{Load, Replicas},
    support::{Balancer, Reached as _, wait, wanted},
};

const RATE: u32 = 200;
const CHANGES: usize = 20;
/// Requests that a connection carries, by the name of the figures: new handshakes are what could be lost.
const CONNECTIONS: [(&str, u32); 2] = [("tenRequestsAConnection", 10), ("fresh", 1)];

pub async fn measure(shop: &Path) -> Value {
    let folder = std::env::temp_dir().join(format!("plimsoll-traffic-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new(&folder);
    let pairs: Vec<_> = (0..=CHANGES).map(|number| authority.pair(number)).collect();
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
            // A certificate of nobody that the clients trust: they must notice.
            let strange = Authority::new(&folder.join("strange")).pair(0);
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

/// Certificate and key, and who it is from.
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
        // It blocks a thread of the runtime for a moment; the load is a process of its own.
        while !serves(front, pair) {
            assert!(begin.elapsed() < Duration::from_secs(10), "the new certificate is not served");
        }
        served.push(begin.elapsed());
        wait(100).await;
    }
    // Long enough that connections end and others begin.
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
    // One of another authority is refused here.
    drop(connection.complete_io(&mut socket));
    let wanted = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    connection.peer_certificates().is_some_and(|chain| chain.first() == Some(&wanted))
}

struct Authority {
    folder: PathBuf,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let file = folder.join("ca.crt");
        openssl(&[
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=bench",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-keyout",
            text(&folder.join("ca.key")),
            "-out",
            text(&file),
        ]);
        Self { folder: folder.to_owned(), file }
    }

    fn pair(&self, number: usize) -> Pair {
        let path = |name: &str| self.folder.join(format!("{number}.{name}"));
        let (crt, key) = (path("crt"), path("key"));
        openssl(&[
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=shop.example",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-addext",
            "subjectAltName=DNS:shop.example",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-CA",
            text(&self.file),
            "-CAkey",
            text(&self.folder.join("ca.key")),
            "-keyout",
            text(&key),
            "-out",
            text(&crt),
        ]);
        Pair {
            certificate: fs::read_to_string(crt).unwrap(),
            key: fs::read_to_string(key).unwrap(),
            authority: CertificateDer::from_pem_file(&self.file).unwrap(),
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().expect("the program `openssl` is needed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
