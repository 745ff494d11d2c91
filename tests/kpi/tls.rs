//! Only the authorities of `caFile` are trusted; a changed file is read again.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plimsoll::kpi::{KpiReader, SourceConfig};
use plimsoll_api::KpiState;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::pki::{p256, self_signed};
use crate::support::{OBJECTIVE, ask};

/// Writes a self-signed certificate for 127.0.0.1: `NAME.pem` and `NAME.key`.
fn certificate(directory: &Path, name: &str) {
    let (pem, key) = self_signed("plimsoll test", &["127.0.0.1"], &p256());
    fs::write(directory.join(format!("{name}.pem")), pem).unwrap();
    fs::write(directory.join(format!("{name}.key")), key).unwrap();
}

/// Answers every request with the number 1, sampled now, one connection after the other.
fn serve(directory: &Path, name: &str) -> String {
    let chain = vec![CertificateDer::from_pem_file(directory.join(format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
    let config =
        Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut stream =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket.unwrap());
            // The handshake fails here if the client does not trust the server.
            if stream.read(&mut [0; 4096]).is_ok() {
                let now = Timestamp::now().as_millisecond() as f64 / 1000.0;
                let body = format!(
                    r#"{{"status":"success","data":{{"resultType":"scalar","result":[{now},"1"]}}}}"#
                );
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                drop(stream.write_all(format!("{head}{body}").as_bytes()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    format!("https://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_authorities_of_the_ca_file_are_trusted() {
    let directory = std::env::temp_dir().join(format!("plimsoll-kpi-tls-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    certificate(&directory, "old");
    certificate(&directory, "new");
    let url = serve(&directory, "new");
    let bundle = directory.join("ca.pem");
    fs::copy(directory.join("old.pem"), &bundle).unwrap();
    let config = SourceConfig { ca_file: Some(bundle.clone()), ..SourceConfig::new("default", &url) };
    let reader = KpiReader::new(vec![config]).unwrap();

    let refused = ask(&reader, OBJECTIVE, "1").await;
    let message = refused.message.unwrap();
    assert_eq!(refused.state, KpiState::Error);
    assert!(
        message.starts_with("source \"default\" can't be reached: invalid peer certificate"),
        "{message}"
    );

    fs::copy(directory.join("new.pem"), directory.join("next.pem")).unwrap();
    fs::rename(directory.join("next.pem"), &bundle).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let trusted = ask(&reader, OBJECTIVE, "1").await;
    assert_eq!(trusted.state, KpiState::Fresh, "{trusted:?}");

    let system = KpiReader::new(vec![SourceConfig::new("default", &url)]).unwrap();
    let message = ask(&system, OBJECTIVE, "1").await.message.unwrap();
    assert!(message.contains("invalid peer certificate"), "{message}");
    fs::remove_dir_all(directory).unwrap();
}
