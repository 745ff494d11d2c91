//! A standby over TLS.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{p256, self_signed};

/// A self-signed certificate and its key, in PEM.
pub struct Certificate {
    pub pem: String,
    key: String,
}

impl Certificate {
    /// A certificate for a DNS name.
    pub fn of(host: &str) -> Self {
        let (pem, key) = self_signed("standby", &[host], &p256());
        Self { pem, key }
    }

    /// Terminates TLS with this certificate in front of `address`; returns the address of the TLS listener.
    pub async fn in_front_of(&self, address: SocketAddr) -> SocketAddr {
        let certificate = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let front = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream).await?;
                    let mut behind = TcpStream::connect(address).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut behind).await
                });
            }
        });
        front
    }
}
