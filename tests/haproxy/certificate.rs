//! Certificates are replaced under load.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use plimsoll::balancer::{CertificateChange, DriverError, Listen, ServerState::Ready, haproxy::Step};
use rcgen::KeyPair;
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;

use crate::support::{
    Balancer, Client, Reached as _, Replica, TLS12, balancer::free_port, p256, rsa2048, rsa4096, self_signed,
    steps, takes_tls12, wanted,
};

/// A self-signed certificate for `shop.example`, and its key.
fn pair(key: &KeyPair) -> (String, String) {
    self_signed("shop.example", &["shop.example"], key)
}

/// One request on a new connection, by a client that trusts only this certificate.
fn get(front: SocketAddr, trusted: &str) -> std::io::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("shop.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(front)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_immediately_and_an_invalid_one_never() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let balancer = Balancer::new();
    let file = balancer.folder.join("shop-tls.pem");
    let mut wanted = wanted(json!({})).with([replica.server(Ready)]);
    wanted.listeners[0].certificate = Some(file.clone());
    let first = pair(&p256());
    let change = balancer.driver.set_certificate(&file, &first.0, &first.1).await.unwrap();
    assert_eq!(change, CertificateChange::Written, "HAProxy is not running yet");
    let mut balancer = balancer;
    assert!(balancer.driver.sync(&wanted).await.unwrap_err().is_down());
    balancer.spawn();
    balancer.up().await;
    let front = wanted.front();
    let answer = get(front, &first.0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("checkout-0"), "{answer}");
    let head = replica.heads.lock().unwrap()[0].clone();
    assert!(
        head.contains("x-forwarded-proto: https\r\n") && head.contains("x-forwarded-for: 127.0.0.1\r\n"),
        "{head}"
    );

    let epoch = balancer.driver.epoch().await.unwrap();
    let mut before = first.clone();
    for (round, key) in [p256(), rsa2048(), p256(), rsa4096()].into_iter().enumerate() {
        let next = pair(&key);
        // With blank lines and text between the blocks, as users paste them.
        let crt = format!("shop.example, round {round}\n\n{}\n\n", next.0);
        let change = balancer.driver.set_certificate(&file, &crt, &next.1).await.unwrap();
        assert_eq!(change, CertificateChange::Swapped);
        assert!(get(front, &next.0).unwrap().starts_with("HTTP/1.1 200"));
        assert!(get(front, &before.0).is_err(), "the previous one is not served");
        assert_eq!(
            balancer.driver.set_certificate(&file, &crt, &next.1).await.unwrap(),
            CertificateChange::None
        );
        before = next;
    }
    assert_eq!(balancer.driver.epoch().await.unwrap(), epoch, "no reload");

    // The key of another certificate, and text that is not PEM.
    let kept = fs::read_to_string(&file).unwrap();
    let error = balancer.driver.set_certificate(&file, &before.0, &first.1).await.unwrap_err();
    assert!(matches!(error, DriverError::Certificate { .. }), "{error}");
    let error = balancer
        .driver
        .set_certificate(&file, "-----BEGIN X-----\na;b\n-----END X-----", "")
        .await
        .unwrap_err();
    assert!(matches!(error, DriverError::Pem(_)), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), kept);
    assert!(get(front, &before.0).is_ok());

    // A chain that is too long for a runtime command.
    let long = before.0.repeat(20);
    let change = balancer.driver.set_certificate(&file, &long, &before.1).await.unwrap();
    assert_eq!(change, CertificateChange::Reloaded);
    assert!(get(front, &before.0).is_ok());
    assert_eq!(steps(&balancer.sync(&wanted).await), Vec::<&Step>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_listeners_set_x_forwarded_proto_and_health_and_metrics_are_served() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let wanted = wanted(json!({})).with([replica.server(Ready)]);
    let balancer = Balancer::start(&wanted).await;
    let forged = ["x-forwarded-proto: https"];
    assert_eq!(Client::new(wanted.front()).get("/", &forged).await.unwrap().status, 200);
    let head = replica.heads.lock().unwrap()[0].clone();
    assert!(head.contains("x-forwarded-proto: http\r\n"), "{head}");
    let own: SocketAddr = ([127, 0, 0, 1], balancer.driver.paths().metrics).into();
    assert_eq!(Client::new(own).get("/healthz", &[]).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_cookies_are_secure_and_cipher_suites_without_forward_secrecy_are_refused() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let balancer = Balancer::new();
    let file = balancer.folder.join("shop-tls.pem");
    let (crt, key) = pair(&rsa2048());
    fs::write(&file, format!("{crt}{key}")).unwrap();
    let mut wanted = wanted(json!({"sessionPersistence": {"cookie": "SID"}})).with([replica.server(Ready)]);
    let plain = wanted.front();
    wanted.standbys = vec![replica.standby(0)];
    wanted.listeners.push(Listen { port: free_port(), certificate: Some(file) });
    let secure: SocketAddr = ([127, 0, 0, 1], wanted.listeners[1].port).into();
    let _balancer = balancer.run(&wanted).await;
    let cookies = |answer: &str| {
        let cookie = |line: &str| line.to_lowercase().starts_with("set-cookie: sid").then(|| line.to_owned());
        answer.lines().filter_map(cookie).collect::<Vec<_>>()
    };
    let set = cookies(&get(secure, &crt).unwrap());
    assert_eq!(set.len(), 2, "{set:?}");
    assert!(
        set.iter().all(|cookie| cookie.contains("; Secure") && cookie.contains("; SameSite=Lax")),
        "{set:?}"
    );
    let set = cookies(&Client::new(plain).get("/", &[]).await.unwrap().head);
    assert_eq!(set.len(), 2, "{set:?}");
    assert!(
        set.iter().all(|cookie| !cookie.contains("Secure") && cookie.contains("; SameSite=Lax")),
        "{set:?}"
    );
    for (suite, fits) in TLS12 {
        assert_eq!(takes_tls12(secure, suite), fits, "{suite}");
    }
}
